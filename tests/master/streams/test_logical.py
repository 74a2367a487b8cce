"""What a master sends to its subscribers."""

from __future__ import annotations

import json
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.base.histories import History
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import parse_catalog_change
from spgrepl.errors import SnapshotError
from spgrepl.log.format.records import encode_checkpoint, encode_statement, encode_v1, encode_v2
from spgrepl.master.judged import cutting
from spgrepl.master.shared.socket_out import BufferedOutlet
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.watch.status import to_json
from spgrepl.wire.frames import encode_skip
from tests.master.kit import CLUSTER_ID, VECTORS, Master, Peer, frame, frames, status

MIXED = (VECTORS / "mixed.wal").read_bytes()
NAMES = sorted(path.stem for path in VECTORS.glob("sub_*.json"))


def published(**scopes: str) -> Publications:
    """Publications by name; a scope as in CREATE PUBLICATION."""
    found = Publications()
    for name, scope in scopes.items():
        change = parse_catalog_change(f"CREATE PUBLICATION {name} {scope}")
        assert change is not None
        found = found.after(change)
    return found


VECTOR_PUBLICATIONS = published(
    p_all="FOR ALL TABLES", p_t1="FOR TABLE t1", p_not_t1="FOR ALL TABLES EXCEPT t1", p_q='FOR TABLE "Quoted"'
)


def reply(start: int) -> bytes:
    return struct.pack("<QQ", start, CLUSTER_ID)


def told(peer: Peer) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The reply, and all frames but STATUS."""
    data = peer.take()
    return data[:16], [one for one in frames(data[16:]) if one[0] != 1]


def summary(peer: Peer) -> list[bytes | int]:
    """Records and counts of a stream."""
    return [payload if kind == 0 else struct.unpack("<Q", payload)[0] for kind, payload in told(peer)[1]]


def insert(table: str, value: int) -> bytes:
    return encode_statement(f"INSERT INTO {table} VALUES ({value})".encode())


def inside(text: str) -> bytes:
    return encode_v2(text.encode())


@pytest.fixture
def make(tmp_path):
    masters = []

    def one(wal: bytes = b"", **options) -> Master:
        masters.append(Master(tmp_path / str(len(masters)), wal, **options))
        return masters[-1]

    yield one
    for master in masters:
        master.close()


# -- the recorded conversations -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_recorded_conversations_are_repeated_byte_for_byte(make, name):
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    peer = master.connect()
    peer.send(bytes.fromhex(vector["hello"]))
    head, found = told(peer)
    assert head.hex() == vector["reply_head"]
    assert found == [
        (0, bytes.fromhex(one["hex"])) if one["type"] == 0 else (2, struct.pack("<Q", one["skipped"]))
        for one in vector["frames_without_status"]
    ]
    assert peer.closing == vector["closed"]


@pytest.mark.parametrize("name", NAMES)
def test_recorded_conversations_come_out_alike_when_the_log_grows_record_by_record(make, name):
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    if vector["closed"]:
        return
    master = make(MIXED[:48], publications=VECTOR_PUBLICATIONS, boundary=48)
    peer = master.connect()
    peer.send(bytes.fromhex(vector["hello"]))
    for record in json.loads((VECTORS / "mixed.records.json").read_text())[1:]:
        master.log.grow(bytes.fromhex(record["hex"]))
    _, found = told(peer)
    records = [bytes.fromhex(one["hex"]) for one in vector["frames_without_status"] if one["type"] == 0]
    if name != "sub_from_end":
        assert [payload for kind, payload in found if kind == 0] == records
    skipped = sum(struct.unpack("<Q", payload)[0] for kind, payload in found if kind == 2)
    assert 48 + skipped + sum(len(payload) for kind, payload in found if kind == 0) == len(MIXED)


# -- refusals -------------------------------------------------------------------------------------------------


def test_at_the_level_replica_a_subscriber_is_closed_without_a_byte(make):
    master = make(MIXED)
    peer = master.subscribe(48, "p")
    assert peer.take() == b""
    assert peer.closing
    assert to_json(master.hub.describe())["refused"] == {"wal_level_replica": 1}


def test_the_level_may_change_at_run_time(make):
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    peer = master.subscribe(0, "p_all")
    follower = master.follow(48)
    assert peer.take().startswith(reply(len(MIXED)))
    master.level.set("replica")
    assert peer.closing
    assert not follower.closing
    assert master.subscribe(0, "p_all").take() == b""
    master.level.set("logical")
    assert master.subscribe(0, "p_all").take().startswith(reply(len(MIXED)))


def test_a_loop_is_answered_and_closed(make):
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    peer = master.subscribe(48, "p_all", cluster_id=CLUSTER_ID)
    assert peer.take() == reply(48)
    assert peer.closing
    assert to_json(master.hub.describe())["refused"] == {"replication_loop": 1}


def test_a_start_beyond_the_end_is_told_where_the_log_ends(make):
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    peer = master.subscribe(10_000, "p_all")
    assert peer.take() == reply(10_000) + status(len(MIXED))
    assert peer.closing
    assert to_json(master.hub.describe())["refused"] == {"start_beyond_end": 1}


def test_a_database_that_is_ahead_of_the_log_is_waited_for_and_not_for_ever(make):
    master = make(MIXED[:463], publications=VECTOR_PUBLICATIONS, boundary=506)
    peers = [master.subscribe(start, "p_t1") for start in (0, 506)]
    master.clock.advance(0.5)
    assert not any(peer.closing for peer in peers)
    master.log.grow(MIXED[463:])
    assert [summary(peer)[-1] for peer in peers] == [MIXED[580:]] * 2
    master = make(MIXED[:463], publications=VECTOR_PUBLICATIONS, boundary=506)
    late = master.subscribe(0, "p_t1")
    master.clock.pump([0.05] * 30)
    assert late.closing
    assert to_json(master.hub.describe())["refused"] == {"start_beyond_end": 1}


@pytest.mark.parametrize("start", [49, 84 + 3, 125 + 8, 506 + 4, 621])
def test_a_start_that_is_no_records_first_byte_is_refused_by_name(make, start):
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    peer = master.subscribe(start, "p_all")
    assert peer.take() == b""
    assert peer.closing
    assert to_json(master.hub.describe())["refused"] == {"start_inside_record": 1}


def test_every_wrong_start_in_records_without_checksums_is_refused_too(make):
    log = b"".join(encode_v1(f"INSERT INTO t VALUES ({n})".encode()) for n in range(40))
    length = len(encode_v1(b"INSERT INTO t VALUES (1)"))
    master = make(log, publications=VECTOR_PUBLICATIONS)
    for start in range(1, 10 * length):
        peer = master.subscribe(start, "p_all")
        assert peer.closing == (start % length != 0)


@pytest.mark.parametrize("strict", [False, True])
def test_a_publication_that_is_dropped_in_mid_stream(make, strict):
    master = make(b"", publications=published(p="FOR TABLE t"), strict=strict)
    master.catalog.histories = (History("ab" * 16, 0),)
    peer = master.subscribe(0, "p")
    peer.take()
    gone, again = encode_statement(b"DROP PUBLICATION p"), encode_statement(b"CREATE PUBLICATION p FOR TABLE u")
    # A renaming of its table drops it and makes it again: no reason to close.
    renaming = inside("BEGIN") + inside("DROP PUBLICATION p") + inside("CREATE PUBLICATION p FOR TABLE u")
    master.log.grow(renaming + inside("COMMIT") + insert("u", 1) + insert("t", 1))
    master.clock.advance(0.1)
    assert [one for one in frames(peer.take()) if one[0] == 0] == [(0, insert("u", 1))]
    assert not peer.closing
    master.log.grow(gone + insert("u", 2) + again + insert("u", 3))
    master.clock.advance(0.1)
    sent = [one for one in frames(peer.take()) if one[0] == 0]
    if strict:
        master.log.grow(gone)
        master.clock.advance(0.1)
        assert peer.closing or peer.aborted
        assert to_json(master.hub.describe())["refused"] == {"unknown_publication": 1}
    else:
        assert sent == [(0, insert("u", 3))]
        master.log.grow(gone)
        master.clock.advance(0.1)
        assert to_json(peer.protocol.describe())["unknown_publications"] == ["p"]
        assert [one for one in frames(peer.take()) if one[0] == 0x55] == [(0x55, b"\x01\0p")]
        master.log.grow(again)
        master.clock.advance(0.1)
        assert [one for one in frames(peer.take()) if one[0] == 0x55] == [(0x55, b"")]


def test_an_unknown_publication_adds_nothing_or_is_refused(make):
    lenient = make(MIXED, publications=VECTOR_PUBLICATIONS)
    peer = lenient.subscribe(48, "p_q", "nobody")
    assert len([one for one in summary(peer) if isinstance(one, bytes)]) == 1
    assert to_json(peer.protocol.describe())["unknown_publications"] == ["nobody"]
    strict = make(MIXED, publications=VECTOR_PUBLICATIONS, strict=True)
    assert strict.subscribe(48, "p_q", "nobody").take() == b""
    assert to_json(strict.hub.describe())["refused"] == {"unknown_publication": 1}


def test_publications_that_cannot_be_looked_up_close_the_connection(make):
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    master.catalog.error = SnapshotError("the disk")
    assert master.subscribe(48, "p_all").take() == b""
    assert to_json(master.hub.describe())["refused"] == {"no_catalogue": 1}


def test_many_who_connect_at_once_share_one_look_at_the_catalogue(make):
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    master.threads.hold()
    peers = [master.subscribe(48, "p_all") for _ in range(5)]
    master.threads.release()
    assert all(peer.take().startswith(reply(48)) for peer in peers)
    assert master.catalog.loads == 1


def test_a_broken_record_ends_the_stream_behind_what_is_whole(make, logged_failures):
    broken = bytearray(MIXED)
    broken[470] ^= 1
    master = make(bytes(broken), publications=VECTOR_PUBLICATIONS, boundary=48)
    peer = master.subscribe(48, "p_t1")
    assert [one for one in summary(peer) if isinstance(one, bytes)] == [
        MIXED[48:84],
        MIXED[207:263],
        MIXED[302:351],
    ]
    assert peer.closing
    assert to_json(master.hub.describe())["dropped"] == {"read_failed": 1}


# -- transactions ---------------------------------------------------------------------------------------------


def test_nothing_of_a_transaction_goes_out_before_its_commit(make):
    master = make(insert("a", 1), publications=published(p="FOR TABLE t"))
    peer = master.subscribe(0, "p")
    peer.take()
    one, two = inside("INSERT INTO t VALUES (1)"), inside("INSERT INTO t VALUES (2)")
    for record in (inside("BEGIN"), one, two):
        master.log.grow(record)
        assert wal_and_skips(peer) == []
    master.log.grow(inside("COMMIT"))
    turn(master)
    assert wal_and_skips(peer) == [encode_skip(len(inside("BEGIN"))), frame(one), frame(two), encode_skip(14)]


def turn(master: Master, turns: int = 5) -> None:
    """Let the reactor go on with what takes several turns."""
    for _ in range(turns):
        master.clock.advance(0)


def wal_and_skips(peer: Peer) -> list[bytes]:
    found = frames(peer.take())
    return [struct.pack("<BI", kind, len(payload)) + payload for kind, payload in found if kind != 1]


def test_no_status_comes_inside_a_transaction(make, monkeypatch):
    monkeypatch.setattr(cutting, "BLOCK", 256)
    log = inside("BEGIN") + b"".join(inside(f"INSERT INTO t VALUES ({n})") for n in range(50)) + inside("COMMIT")
    master = make(insert("a", 1) + log, publications=published(p="FOR TABLE t"))
    peer = master.subscribe(len(insert("a", 1)), "p")
    for _ in range(300):
        master.clock.advance(0.06)
    kinds = [kind for kind, _ in frames(peer.take()[16:])]
    first, last = kinds.index(0), len(kinds) - 1 - kinds[::-1].index(0)
    assert kinds.count(0) == 50
    assert 1 not in kinds[first:last]


@pytest.mark.parametrize("end", ["ROLLBACK", "ABORT", "ROLLBACK; "])
def test_a_rollback_is_one_skip(make, end):
    log = inside("BEGIN") + inside("INSERT INTO t VALUES (1)") + inside("INSERT INTO t VALUES (2)") + inside(end)
    master = make(insert("t", 0) + log + insert("t", 3), publications=published(p="FOR TABLE t"))
    peer = master.subscribe(0, "p")
    peer.take()
    peer = master.subscribe(len(insert("t", 0)), "p")
    assert summary(peer) == [len(log), insert("t", 3)]
    counted = to_json(peer.protocol.describe())["passed_over"]
    assert counted == {
        "rolled_back": 2 * len(inside("INSERT INTO t VALUES (1)")),
        "control": len(log) - 2 * len(inside("INSERT INTO t VALUES (1)")),
    }


def test_what_is_taken_back_to_a_savepoint_is_passed_over(make):
    texts = [
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "SAVEPOINT a",
        "INSERT INTO t VALUES (2)",
        "SAVEPOINT b",
        "INSERT INTO t VALUES (3)",
        "RELEASE b",
        "ROLLBACK TO SAVEPOINT A",
        "INSERT INTO t VALUES (4)",
        "COMMIT",
    ]
    log = insert("x", 0) + b"".join(inside(text) for text in texts)
    master = make(log, publications=published(p="FOR TABLE t"))
    peer = master.subscribe(len(insert("x", 0)), "p")
    kept = [one for one in summary(peer) if isinstance(one, bytes)]
    assert kept == [inside("INSERT INTO t VALUES (1)"), inside("INSERT INTO t VALUES (4)")]


@pytest.mark.parametrize(("end", "count"), [("COMMIT", 3), ("ROLLBACK", 1)])
def test_a_start_inside_a_transaction_waits_for_its_end(make, end, count):
    before = insert("x", 0) + inside("BEGIN") + inside("INSERT INTO t VALUES (1)")
    rest = [inside("INSERT INTO t VALUES (2)"), inside("INSERT INTO t VALUES (3)"), inside(end)]
    log = before + b"".join(rest)
    master = make(log, publications=published(p="FOR TABLE t"))
    master.log.grow(insert("t", 9))
    peer = master.subscribe(len(before), "p")
    turn(master)
    assert len([one for one in summary(peer) if isinstance(one, bytes)]) == count


def test_a_transaction_longer_than_any_buffer_is_read_again_and_not_kept(make, monkeypatch):
    monkeypatch.setattr(cutting, "BLOCK", 1024)
    rows = [inside(f"INSERT INTO {'t' if n % 3 else 'other'} VALUES ({n})") for n in range(2000)]
    start = insert("x", 0)
    master = make(start + inside("BEGIN"), publications=published(p="FOR TABLE t"), boundary=len(start))
    peer = master.subscribe(len(start), "p")
    for at in range(0, 2000, 100):
        master.log.grow(b"".join(rows[at : at + 100]))
        for _ in range(30):
            master.clock.advance(0.01)
    assert summary(peer) == []
    master.log.grow(inside("COMMIT"))
    for _ in range(400):
        master.clock.advance(0.001)
    kept = [one for one in wal_and_skips(peer) if one[0] == 0]
    assert kept == [frame(row) for number, row in enumerate(rows) if number % 3]


# -- the catalogue --------------------------------------------------------------------------------------------


def test_a_change_of_the_catalogue_takes_effect_where_it_stands(make):
    master = make(insert("x", 0), publications=published(p="FOR TABLE t"))
    peer = master.subscribe(0, "p")
    log = [
        insert("u", 1),
        encode_statement(b"DROP PUBLICATION p"),
        insert("t", 2),
        encode_statement(b"CREATE PUBLICATION p FOR TABLE u"),
        insert("t", 3),
        insert("u", 4),
        inside("BEGIN"),
        inside("CREATE PUBLICATION q FOR ALL TABLES"),
        inside("ROLLBACK"),
    ]
    master.log.grow(b"".join(log))
    assert [one for one in summary(peer) if isinstance(one, bytes)] == [insert("u", 4)]
    assert to_json(peer.protocol.describe())["passed_over"]["unknown_publication"] == len(insert("t", 2))


def test_a_change_before_the_handshake_is_known_already(make):
    log = encode_statement(b"CREATE PUBLICATION p FOR TABLE u")
    master = make(insert("t", 1) + log + insert("t", 2), publications=published(p="FOR TABLE t"))
    peer = master.subscribe(len(insert("t", 1)), "p")
    assert summary(peer) == [len(log), insert("t", 2)]


# -- rows -----------------------------------------------------------------------------------------------------


MARK = encode_statement(ROWS_FROM_HERE)


def words_on_rows(data: bytes) -> list[tuple[int, int]]:
    """What frames say of rows: from where on, and whose they are."""
    return [struct.unpack("<QQ", payload) for kind, payload in frames(data) if kind == 0x52]


@pytest.mark.parametrize("origin", [None, 77])
def test_a_subscriber_is_told_from_where_on_the_log_holds_rows(make, origin):
    master = make(insert("x", 0), publications=published(p="FOR TABLE t"))
    master.catalog.origin = origin
    peer = master.subscribe(0, "p")
    assert words_on_rows(peer.take()[16:]) == []
    begin = master.log.length
    master.log.grow(MARK + insert("t", 1))
    known = CLUSTER_ID if origin is None else origin
    assert words_on_rows(peer.take()) == [(begin, known)]
    master.log.grow(insert("t", 2))
    assert words_on_rows(peer.take()) == []
    # Those who come later hear of it first of all; what the database knows may be some records late.
    master.catalog.rows_from = master.log.length
    late = master.subscribe(begin, "p")
    _, found = told(late)
    assert [kind for kind, _ in found] == [0x52, 0x52, 2, 0, 0]
    assert [struct.unpack("<QQ", payload)[0] for kind, payload in found if kind == 0x52] == [
        master.log.length,
        begin,
    ]
    assert words_on_rows(master.subscribe(0, "p").take()[16:]) == [(master.log.length, known)]


# -- sharing, counting, flow ----------------------------------------------------------------------------------


def test_subscribers_share_the_judging_of_the_log(make):
    master = make(insert("x", 0), publications=published(p="FOR TABLE t", q="FOR TABLE u"))
    peers = [master.subscribe(0, "pq"[n % 2]) for n in range(100)]
    before = master.publisher.records.built
    master.log.grow(insert("t", 1) + insert("u", 2))
    assert master.publisher.records.built == before + 1
    got = {bytes(one) for peer in peers for one in summary(peer) if isinstance(one, bytes)}
    assert got == {insert("t", 1), insert("u", 2)}


def test_pieces_that_were_made_for_others_are_sent_together_and_not_copied(make, monkeypatch):
    monkeypatch.setattr(cutting, "BLOCK", 1024)
    rows = [encode_statement(b"INSERT INTO %s VALUES (%d)" % (b"t" if n % 7 else b"u", n)) for n in range(2000)]
    master = make(insert("x", 0) + b"".join(rows), publications=published(p="FOR TABLE t"))
    start = len(insert("x", 0))
    together: list[list[bytes]] = []
    send_all = BufferedOutlet.send_all
    monkeypatch.setattr(
        BufferedOutlet, "send_all", lambda self, pieces: (together.append(list(pieces)), send_all(self, pieces))
    )
    found = []
    for _ in range(2):
        peer = master.subscribe(start, "p")
        master.clock.pump([0.001] * 1000)
        found.append(([one for one in frames(peer.take()[16:]) if one[0] != 1], list(together)))
        together.clear()
    (first, alone), (second, together) = found
    assert second == first
    assert len(alone) > 50
    assert len(together) == 1
    # The STATUS after all of them goes with them.
    assert [one[0] for one in frames(together[0][-1])][-1] == 1
    # The same objects, those that are each one's own left out: a SKIP, and the STATUS after all.
    made = {id(piece) for pieces in alone for piece in pieces if len(piece) > 34}
    assert {id(piece) for piece in together[0] if len(piece) > 34} == made


def test_every_byte_that_is_passed_over_is_counted_by_its_reason(make):
    ddl, control, mark = (
        encode_statement(b"CREATE TABLE z (a)"),
        encode_statement(b"SET x = 1"),
        encode_checkpoint(0),
    )
    log = insert("t", 1) + ddl + control + insert("u", 1) + mark + insert("t", 2)
    master = make(insert("x", 0) + log, publications=published(p="FOR TABLE t"))
    peer = master.subscribe(len(insert("x", 0)), "p")
    state = to_json(peer.protocol.describe())
    assert state["passed_over"] == {
        "ddl": len(ddl),
        "control": len(control) + len(mark),
        "other_table": len(insert("u", 1)),
    }
    assert state["forwarded"] == 2
    assert state["publications"] == ["p"]
    assert state["version"] == "SUB"


def test_a_slow_subscriber_gets_everything_in_the_end(make):
    rows = [insert("tu"[n % 2], n) for n in range(20_000)]
    master = make(insert("x", 0) + b"".join(rows), publications=published(p="FOR TABLE t"))
    peer = master.subscribe(len(insert("x", 0)), "p")
    data = b""
    for _ in range(500):
        peer.pause()
        data += peer.take()
        master.clock.advance(0.01)
        peer.resume()
        master.clock.advance(0.01)
    data += peer.take()
    found = frames(data[16:])
    assert [payload for kind, payload in found if kind == 0] == rows[::2]
    skipped = sum(struct.unpack("<Q", payload)[0] for kind, payload in found if kind == 2)
    assert skipped == sum(map(len, rows[1::2]))


def test_a_log_that_is_lost_ends_the_stream(make):
    master = make(MIXED, publications=VECTOR_PUBLICATIONS)
    peer = master.subscribe(0, "p_all")
    peer.take()
    master.log.lose()
    assert peer.take() == status(0)
    assert peer.closing


# -- the same as a reference ----------------------------------------------------------------------------------

statements = st.one_of(
    st.tuples(st.just("dml"), st.sampled_from(["t", "u", "public.t", '"T"', "x.t"]), st.booleans()),
    st.tuples(st.just("ddl"), st.just(""), st.booleans()),
    st.tuples(
        st.sampled_from(
            ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "RELEASE a"]
        ),
        st.just(""),
        st.booleans(),
    ),
)


def reference(log: list[tuple[str, str, bytes]]) -> list[bytes]:
    """The records of table t that took effect, by the plainest means."""
    done: list[bytes] = []
    pending: list[tuple[str, bytes]] | None = None
    for kind, table, record in log:
        if kind == "BEGIN":
            pending = [] if pending is None else pending
        elif kind in ("COMMIT", "ROLLBACK"):
            if pending is not None and kind == "COMMIT":
                done += [one for name, one in pending if name == "row"]
            pending = None
        elif pending is None:
            if kind == "dml" and table in ("t", "public.t"):
                done.append(record)
        elif kind.startswith("SAVEPOINT"):
            pending.append((kind[-1], b""))
        elif kind.startswith("ROLLBACK TO"):
            at = [number for number, (name, _) in enumerate(pending) if name == "a"][-1]
            del pending[at + 1 :]
        elif kind.startswith("RELEASE"):
            at = [number for number, (name, _) in enumerate(pending) if name == "a"][-1]
            pending[at:] = [one for one in pending[at:] if one[0] == "row"]
        elif kind == "dml" and table in ("t", "public.t"):
            pending.append(("row", record))
    return done


@settings(deadline=None)
@given(st.lists(statements, max_size=40), st.integers(100, 600), st.randoms(use_true_random=False))
def test_what_goes_out_is_what_a_reference_keeps(tmp_path_factory, items, block, dice: random.Random):
    log: list[tuple[str, str, bytes]] = []
    open_, savepoints = False, 0
    for number, (kind, table, plain) in enumerate(items):
        if kind.startswith(("SAVEPOINT", "ROLLBACK TO", "RELEASE")) and not open_:
            continue
        if kind in ("ROLLBACK TO a", "RELEASE a") and not savepoints:
            continue
        open_ = kind == "BEGIN" or (open_ and kind not in ("COMMIT", "ROLLBACK"))
        savepoints = 0 if not open_ else savepoints + (kind == "SAVEPOINT a") - (kind == "RELEASE a")
        text = {"dml": f"INSERT INTO {table} VALUES ({number})", "ddl": f"CREATE TABLE n{number} (a)"}.get(
            kind, kind
        )
        encode = encode_statement if plain else encode_v2
        log.append((kind, table, encode(text.encode())))
    expected = reference(log if not open_ else [*log, ("ROLLBACK", "", b"")])
    first = insert("x", 0)
    before = cutting.BLOCK
    cutting.BLOCK = block
    master = Master(
        tmp_path_factory.mktemp("m"), first, publications=published(p="FOR TABLE t"), boundary=len(first)
    )
    try:
        peer = master.subscribe(len(first), "p")
        data = b"".join(record for _, _, record in log)
        while data:
            size = dice.randint(1, 200)
            master.log.grow(data[:size])
            data = data[size:]
            master.clock.advance(0.001)
        for _ in range(200):
            master.clock.advance(0.001)
        found = frames(peer.take()[16:])
        assert [payload for kind, payload in found if kind == 0] == expected
        skipped = sum(struct.unpack("<Q", payload)[0] for kind, payload in found if kind == 2)
        position = len(first) + skipped + sum(map(len, expected))
        open_at = len(first) + sum(len(record) for _, _, record in log[: _open_from(log)])
        assert position == open_at
    finally:
        cutting.BLOCK = before
        master.close()


def _open_from(log: list[tuple[str, str, bytes]]) -> int:
    """The index of the BEGIN that is not ended; the log's length where there is none."""
    begin = None
    for index, (kind, _, _) in enumerate(log):
        if kind == "BEGIN" and begin is None:
            begin = index
        elif kind in ("COMMIT", "ROLLBACK"):
            begin = None
    return len(log) if begin is None else begin

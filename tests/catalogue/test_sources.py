"""Where a master learns the publications from: its database, or the log and an SPG snapshot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from spgrepl.catalogue import changes, sources
from spgrepl.catalogue.catalogue_tables import note_control
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.sources import ICatalogSource, Learning, LogCatalogSource, ReadLog, SqliteCatalogSource
from spgrepl.catalogue.statements import CreatePublication, Scope, parse_catalog_change
from spgrepl.errors import (
    ConfigurationError,
    ManifestError,
    RecordError,
    SnapshotError,
    SpgChecksumMismatch,
    SpgReplError,
)
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.format.records import encode_checkpoint, encode_v2
from spgrepl.log.source import ILogListener
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.segments.manifest import Manifest, encode_manifest
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE, note_origin, note_rows
from tests.catalogue.envelopes import envelope, section_of
from tests.log.samples import VECTORS
from tests.log.transactions.reference import effects
from tests.master.kit import FileLog, Threads
from tests.replica.following.copies import batch_of, quick_folder

ROW = "INSERT INTO t VALUES (1)"


def log_of(*texts: str) -> bytes:
    return b"".join(encode_v2(text.encode()) for text in texts)


def named(*texts: str) -> Publications:
    """The publications that some statements make."""
    found = Publications()
    for text in texts:
        change = parse_catalog_change(text)
        assert change is not None
        found = found.after(change)
    return found


def result(asked: Deferred[Any]) -> Any:
    """What a Deferred has brought, or raised."""
    found: list[Any] = []
    asked.addBoth(found.append)
    (one,) = found
    if isinstance(one, Failure):
        one.raiseException()
    return one


# -- a database -----------------------------------------------------------------------------------------------


def database(path: Path, role: str, state: ReplayState | None) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    if state is not None:
        sqlite_state.ensure_table(connection)
        sqlite_state.write_state(connection, role, state)
    note_control(connection, b"CREATE PUBLICATION p FOR TABLE t")
    return connection


def told(source: SqliteCatalogSource) -> tuple[list[str], int]:
    """The names of the publications, and the position."""
    found = result(source.load())
    return sorted(found.publications.by_name), found.position


def test_a_database_tells_them_with_its_position(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    source = SqliteCatalogSource(path, Threads())
    assert verifyObject(ICatalogSource, source)
    with contextlib.closing(database(path, sqlite_state.ROLE_PRIMARY, ReplayState(900, 0))) as connection:
        assert told(source) == (["p"], 900)
        connection.execute("BEGIN")
        note_control(connection, b"CREATE PUBLICATION q")
        assert told(source) == (["p"], 900)
        sqlite_state.write_state(connection, sqlite_state.ROLE_PRIMARY, ReplayState(950, 0))
        connection.execute("COMMIT")
        assert told(source) == (["p", "q"], 950)


def test_a_followers_copy_speaks_of_its_own_log(tmp_path: Path) -> None:
    with contextlib.closing(database(tmp_path / "data.db", sqlite_state.ROLE_FOLLOWER, ReplayState(900, 300))):
        assert told(SqliteCatalogSource(tmp_path / "data.db", Threads())) == (["p"], 600)


def test_what_is_no_database_yet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    source = SqliteCatalogSource(path, Threads())
    with pytest.raises(ConfigurationError, match="no database"):
        result(source.load())
    assert not path.exists()
    database(path, "", None).close()
    with pytest.raises(ConfigurationError, match="no replication state"):
        result(source.load())
    path.write_bytes(b"something else" * 100)
    with pytest.raises(SnapshotError, match="cannot be read"):
        result(source.load())


# -- a log ----------------------------------------------------------------------------------------------------


class Rig:
    """A log, its snapshot and manifest, and what is learned from them."""

    def __init__(self, folder: Path, wal: bytes = b"", snapshot: bytes | None = None, **more: Any) -> None:
        self.threads = Threads()
        self.log = FileLog(folder / "data.wal", wal)
        self.snapshot = folder / "data.db"
        self.manifest = folder / "manifest"
        if snapshot is not None:
            self.snapshot.write_bytes(snapshot)
        self.source = LogCatalogSource(
            ReadLog(self.log, self.snapshot, self.manifest), self.threads, Learning(**more)
        )

    def load(self) -> tuple[Publications, int]:
        found = result(self.source.load())
        return found.publications, found.position


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Rig] = []

    def one(*args: Any, **more: Any) -> Rig:
        made.append(Rig(tmp_path, *args, **more))
        return made[-1]

    yield one
    for rig in made:
        rig.log.close()


def test_what_a_log_states_is_learned(make: Any) -> None:
    log = log_of(ROW, "CREATE PUBLICATION p FOR TABLE t", ROW, "CREATE PUBLICATION q", "DROP PUBLICATION p")
    rig = make(log + encode_checkpoint(len(log)))
    assert verifyObject(ICatalogSource, rig.source)
    assert verifyObject(ILogListener, rig.source)
    assert rig.load() == (named("CREATE PUBLICATION q"), rig.log.length)


def test_an_empty_log_tells_nothing(make: Any) -> None:
    assert make().load() == (Publications(), 0)


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_changes_in_a_transaction_count_when_it_is_committed(make: Any, end: str) -> None:
    texts = ["CREATE PUBLICATION p", "BEGIN", "DROP PUBLICATION p", "CREATE PUBLICATION q", ROW]
    rig = make(log_of(*texts))
    assert rig.load() == (named("CREATE PUBLICATION p"), len(log_of(texts[0])))
    rig.log.grow(log_of(end, ROW))
    kept = "CREATE PUBLICATION q" if end == "COMMIT" else "CREATE PUBLICATION p"
    assert rig.load() == (named(kept), rig.log.length)


def test_savepoints_are_honoured(make: Any) -> None:
    rig = make(
        log_of(
            *("BEGIN", "CREATE PUBLICATION p", "SAVEPOINT a", "CREATE PUBLICATION q", "ROLLBACK TO a"),
            *("CREATE PUBLICATION r", "COMMIT"),
        )
    )
    assert rig.load()[0] == named("CREATE PUBLICATION p", "CREATE PUBLICATION r")


def test_only_what_grew_is_read_again(make: Any) -> None:
    rig = make(log_of("CREATE PUBLICATION p", ROW))
    rig.load()
    calls = rig.threads.calls
    assert rig.load()[1] == rig.log.length
    assert rig.threads.calls == calls
    with rig.log.path.open("r+b") as file:
        file.write(b"\xff" * 20)
    rig.log.grow(log_of("CREATE PUBLICATION q"))
    assert rig.load() == (named("CREATE PUBLICATION p", "CREATE PUBLICATION q"), rig.log.length)


def test_a_record_that_is_not_whole_yet_waits(make: Any) -> None:
    log = log_of(ROW, "CREATE PUBLICATION p")
    rig = make(log[:-1])
    assert rig.load() == (Publications(), len(log_of(ROW)))
    rig.log.grow(log[-1:])
    assert rig.load() == (named("CREATE PUBLICATION p"), len(log))


def test_those_who_ask_meanwhile_share_the_answer(make: Any) -> None:
    rig = make(log_of("CREATE PUBLICATION p"))
    rig.threads.hold()
    asked = [rig.source.load() for _ in range(3)]
    while rig.threads.held:
        held, rig.threads.held = rig.threads.held, []
        assert len(held) == 1
        held[0]()
    assert {result(one).position for one in asked} == {rig.log.length}


def test_a_log_that_is_lost_is_read_anew(make: Any) -> None:
    rig = make(log_of("CREATE PUBLICATION p", ROW))
    rig.load()
    rig.log.lose()
    assert rig.load() == (Publications(), 0)
    rig.log.grow(log_of("CREATE PUBLICATION q"))
    assert rig.load() == (named("CREATE PUBLICATION q"), rig.log.length)


def test_a_log_that_is_lost_while_it_is_read_is_not_remembered(make: Any) -> None:
    rig = make(log_of("CREATE PUBLICATION p", ROW))
    rig.threads.hold()
    asked = rig.source.load()
    asked.addErrback(lambda failure: failure.trap(SpgReplError))
    rig.log.lose()
    while rig.threads.held:
        held, rig.threads.held = rig.threads.held, []
        for run in held:
            run()
    rig.threads.held = None
    assert rig.load() == (Publications(), 0)


def test_a_long_log_is_read_before_somebody_asks(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "WALK_FROM", 100)
    rig = make()
    rig.log.grow(log_of("CREATE PUBLICATION p"))
    assert rig.threads.calls == 0
    rig.log.grow(log_of(ROW, ROW, ROW))
    calls = rig.threads.calls
    assert calls
    assert rig.load() == (named("CREATE PUBLICATION p"), rig.log.length)
    assert rig.threads.calls == calls


def test_a_broken_log_is_named_to_whoever_asks_and_logged_where_nobody_does(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make(log_of("CREATE PUBLICATION p") + b"\x05\0\0\x80badcrcbytes....")
    for _ in range(2):
        with pytest.raises(RecordError, match=f"position {len(log_of('CREATE PUBLICATION p'))}"):
            rig.load()
    monkeypatch.setattr(sources, "WALK_FROM", 10)
    rig.log.grow(log_of(ROW))


def test_records_have_a_limit(make: Any) -> None:
    rig = make(log_of(ROW, "INSERT INTO t VALUES ('" + "x" * 200 + "')"), max_record=100)
    with pytest.raises(SpgReplError, match="100"):
        rig.load()


# -- an SPG snapshot ------------------------------------------------------------------------------------------

FROM_SNAPSHOT = named("CREATE PUBLICATION old FOR TABLE t", "CREATE PUBLICATION gone")
SECTION = section_of(("old", 1, ("t",)), ("gone", 0, ()))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_an_spg_snapshot_tells_what_the_log_goes_on_from(make: Any, version: int) -> None:
    more = (b"subscriptions", b"statistics")[: version - 3]
    rig = make(log_of(ROW), envelope(version, b"catalog", b"users", SECTION, *more))
    assert rig.load() == (FROM_SNAPSHOT, rig.log.length)
    rig.log.grow(log_of("DROP PUBLICATION gone", "CREATE PUBLICATION new"))
    assert rig.load()[0].by_name == {
        "old": CreatePublication("old", Scope.ONLY, ("t",)),
        "new": CreatePublication("new", Scope.ALL),
    }


def test_the_log_is_read_from_the_baseline_on(make: Any) -> None:
    before = log_of("DROP PUBLICATION old", "CREATE PUBLICATION p")
    rig = make(before + log_of("DROP PUBLICATION gone"), envelope(3, b"catalog", b"users", SECTION))
    rig.manifest.write_bytes(encode_manifest(Manifest(0, (), len(before))))
    assert rig.load() == (named("CREATE PUBLICATION old FOR TABLE t"), rig.log.length)


@pytest.mark.parametrize(
    "snapshot",
    [
        envelope(1, b"catalog", b"users"),
        envelope(2, b"catalog", b"users"),
        b"SPGDB001 and more",
        (VECTORS / "snapshot.bin").read_bytes(),
    ],
)
def test_older_snapshots_and_others_tell_nothing(make: Any, snapshot: bytes) -> None:
    rig = make(log_of("CREATE PUBLICATION p"), snapshot)
    assert rig.load() == (named("CREATE PUBLICATION p"), rig.log.length)


def test_damage_is_named_and_looked_at_again(make: Any) -> None:
    good = envelope(3, b"catalog", b"users", SECTION)
    rig = make(log_of(ROW), good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(SpgChecksumMismatch, match=r"data\.db"):
        rig.load()
    rig.snapshot.write_bytes(good)
    assert rig.load()[0] == FROM_SNAPSHOT
    rig.log.lose()
    rig.manifest.write_bytes(b"no manifest")
    with pytest.raises(ManifestError):
        rig.load()


# -- the same, however it grows ---------------------------------------------------------------------------------

texts = st.sampled_from(
    [
        *(
            "CREATE PUBLICATION p FOR TABLE t",
            "CREATE PUBLICATION p",
            "CREATE PUBLICATION q",
            "DROP PUBLICATION p",
        ),
        *("BEGIN", "COMMIT", "ROLLBACK", ROW, "CREATE PUBLICATION q; DROP PUBLICATION p"),
    ]
)


@given(st.lists(texts, max_size=20), st.lists(st.integers(0, 800), max_size=6).map(sorted))
def test_what_is_learned_step_by_step_is_what_stands_there(items: list[str], stops: list[int]) -> None:
    log = b"".join(encode_v2(item.encode()) for item in items)
    judged = effects([(item.encode(), False) for item in items])
    assume(judged.ambiguous is None)
    expected = Publications()
    for index in judged.order:
        for piece in items[index].split("; "):
            change = parse_catalog_change(piece) if piece != ROW else None
            expected = expected if change is None else expected.after(change)
    walk = TransactionWalk()
    walk.walk(batch_of(log))
    with quick_folder() as folder:
        rig = Rig(folder)
        for low, high in zip([0, *stops], [*stops, len(log)], strict=True):
            rig.log.grow(log[low : max(low, high)])
            rig.load()
        assert rig.load() == (expected, len(log) if walk.begin is None else walk.begin)
        rig.log.close()


def test_changes_in_one_transaction_are_bounded_by_name(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_CHANGES", 3)
    some = [f"CREATE PUBLICATION p{number}" for number in range(4)]
    rig = make(log_of("BEGIN", *some[:3], "COMMIT", "BEGIN", *some[1:], "ROLLBACK"))
    assert sorted(rig.load()[0].by_name) == ["p0", "p1", "p2"]
    with pytest.raises(RecordError, match="changes publications and subscriptions more than 3 times"):
        make(log_of("BEGIN", *some)).load()


def test_a_log_says_from_where_on_it_holds_rows(make: Any) -> None:
    rig = make(log_of(ROW))
    assert result(rig.source.load()).rows_from is None
    begin = rig.log.length
    rig.log.grow(log_of(ROWS_FROM_HERE.decode(), ROW))
    assert result(rig.source.load()).rows_from == begin


def test_a_snapshot_of_a_primary_tells_its_publications_and_whose_rows_follow(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "snapshot.db"
    with contextlib.closing(database(path, sqlite_state.ROLE_PRIMARY, ReplayState(900, 0))) as connection:
        note_rows(connection, 50)
        note_origin(connection, 2**64 - 1)
    rig = make(log_of("CREATE PUBLICATION q FOR TABLE T"), path.read_bytes())
    found = result(rig.source.load())
    assert sorted(found.publications.by_name) == ["p", "q"]
    assert found.publications.any_case
    assert (found.position, found.rows_from, found.origin) == (rig.log.length, 0, 2**64 - 1)

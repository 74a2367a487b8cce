"""Promotion, and coming back: roles on sockets in one process, files converted between them."""

from __future__ import annotations

import contextlib
import re
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from spgrepl.base.histories import History
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    DifferentHistory,
    EngineFailed,
    LocalFilesDamaged,
    PromotionRefused,
    ReplayStopped,
    UsageError,
    WritesRefused,
)
from spgrepl.failover.promotion import EndedTransactions, Promoted, promote_copy
from spgrepl.failover.rejoin import NewPrimary, Rejoined, rejoin
from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.pairs.pair import Pair, write_pair
from spgrepl.primary import Position, Primary
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.replica.following.replay import Replay
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.comparison import compare_databases
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain"]


async def promoted_copy(paths: DatabasePaths, **how: Any) -> Promoted:
    return await deferToThread(partial(promote_copy, paths, **how))  # type: ignore[no-any-return]


async def rejoined(paths: DatabasePaths, master: MasterRole, **how: Any) -> Rejoined:
    status = master.status()
    histories = tuple(History(one["id"], one["offset"], one["stop"]) for one in status["histories"])
    primary = NewPrimary(histories, status["positions"]["durable"])
    return await deferToThread(partial(rejoin, paths, primary, **how))  # type: ignore[no-any-return]


async def go_on_as_primary(chain: Chain, name: str) -> tuple[Primary, MasterRole]:
    """Open a promoted copy, and serve it where it served before."""
    primary = await chain.primary(name)
    return primary, await chain.master(name, primary)


def same(first: DatabasePaths, second: DatabasePaths) -> None:
    found = compare_databases(first.database, second.database)
    assert found.equal, found.differences


class Failover:
    """A head with a relay, a follower of that, and a sibling of the relay; all have the same."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    async def begin(self) -> None:
        chain = self.chain
        self.head = await with_rows(chain)
        self.master = await chain.master("head", self.head)
        self.relay = await chain.follower("relay", "head")
        await grown(self.head, self.relay)
        self.leaf = await chain.follower("leaf", "relay")
        await grown(self.head, self.leaf)
        self.sibling = await chain.follower("sibling", "head")
        self.common = await grown(self.head, self.sibling)
        for role in (self.relay, self.leaf):
            await role.when_applied(self.common, 30)

    async def lose_head(self) -> None:
        await self.chain.stop(self.master)
        await self.head.close()


@pytest_twisted.async_yield_fixture
async def failover(chain: Chain) -> Any:
    made = Failover(chain)
    await made.begin()
    yield made


@pytest_twisted.ensureDeferred
async def test_a_follower_becomes_a_primary_and_its_followers_go_on(failover: Failover, chain: Chain) -> None:
    await failover.lose_head()
    promoted = await failover.relay.promote()
    assert promoted.before == (failover.common,)
    assert promoted.before[0].history == failover.common.history
    assert promoted.dropped is None
    assert promoted.position.history != failover.common.history
    chain.roles.remove(failover.relay)
    assert (await failover.relay.when_promoted()) is promoted

    primary, master = await go_on_as_primary(chain, "relay")
    assert primary.histories.current == promoted.position.history
    position = await primary.execute(ROW)
    assert position.history == promoted.position.history
    assert await failover.leaf.when_applied(position, 30) == position
    assert master.status()["snapshots"]["made"] == 0
    same(chain.paths("relay"), chain.paths("leaf"))

    # What was shared is known by both names, what was not is refused by its own.
    for role in (master, failover.leaf):
        assert await role.when_applied(failover.common, 30) == failover.common
        with pytest.raises(DifferentHistory, match=rf"ends at {int(failover.common)} here.* was lost"):
            await role.when_applied(Position(failover.common + 1, history=failover.common.history))
    rows = [row async for row in failover.leaf.query("SELECT count(*) FROM t", at_least=position)]
    assert rows == [(primary_rows := (await primary.query("SELECT count(*) FROM t")).rows[0][0],)]
    assert primary_rows == 3 + 6 + 1

    # All of it holds for copies that are made, or opened again, afterwards.
    await chain.stop(failover.leaf)
    leaf = await chain.follower("leaf", "relay")
    late = await chain.follower("late", "leaf")
    position = await primary.execute(ROW)
    for role in (leaf, late):
        assert await role.when_applied(position, 30) == position
        assert await role.when_applied(failover.common, 30) == failover.common
        assert role.status()["history"] == position.history
        with pytest.raises(DifferentHistory):
            await role.when_applied(Position(failover.common + 1, history=failover.common.history))
    same(chain.paths("relay"), chain.paths("late"))


@pytest_twisted.ensureDeferred
async def test_a_sibling_goes_on_without_a_snapshot(failover: Failover, chain: Chain) -> None:
    await failover.lose_head()
    await chain.stop(failover.sibling)
    await failover.relay.promote()
    chain.roles.remove(failover.relay)
    primary, master = await go_on_as_primary(chain, "relay")
    await primary.execute(ROW)
    done = await rejoined(chain.paths("sibling"), master)
    assert done.lost is None
    assert done.position is not None
    assert done.log is not None
    assert done.log.read_bytes()
    sibling = await chain.follower("sibling", "relay")
    position = await primary.execute(ROW)
    assert await sibling.when_applied(position, 30) == position
    assert await sibling.when_applied(failover.common, 30) == failover.common
    with pytest.raises(DifferentHistory):
        await sibling.when_applied(Position(failover.common + 1, history=failover.common.history))
    assert master.status()["snapshots"]["made"] == 0
    same(chain.paths("relay"), chain.paths("sibling"))
    await chain.stop(sibling)
    sibling = await chain.follower("sibling", "relay")
    assert await sibling.when_applied(await primary.execute(ROW), 30) > position


@pytest_twisted.ensureDeferred
async def test_an_old_primary_with_nothing_of_its_own_goes_on_without_a_snapshot(
    failover: Failover, chain: Chain
) -> None:
    await failover.lose_head()
    await failover.relay.promote()
    chain.roles.remove(failover.relay)
    primary, master = await go_on_as_primary(chain, "relay")
    done = await rejoined(chain.paths("head"), master)
    assert (done.lost, done.position is None) == (None, False)
    head = await chain.follower("head", "relay")
    position = await primary.execute(ROW)
    assert await head.when_applied(position, 30) == position
    assert master.status()["snapshots"]["made"] == 0
    same(chain.paths("relay"), chain.paths("head"))
    await chain.stop(head)
    with pytest.raises(ConfigurationError, match="is a follower's copy"):
        await chain.primary("head")


@pytest_twisted.ensureDeferred
async def test_what_an_old_primary_had_alone_is_listed_and_nothing_else(failover: Failover, chain: Chain) -> None:
    await chain.stop(failover.relay)
    await failover.head.execute("INSERT INTO t VALUES (1000, 'lost; alone')")
    await failover.head.transaction(
        ["INSERT INTO t VALUES (1001, 'lost ''quoted''')", "DELETE FROM t WHERE a = 1"]
    )
    old = chain.paths("head").wal.read_bytes()
    await failover.lose_head()
    with pytest.raises(PromotionRefused, match="heard nothing of its master"):
        await (await chain.follower("relay", "head")).promote()
    relay = chain.roles[-1]
    assert isinstance(relay, FollowerRole)
    await relay.promote(forced=True)
    chain.roles.remove(relay)
    primary, master = await go_on_as_primary(chain, "relay")
    position = await primary.execute(ROW)

    done = await rejoined(chain.paths("head"), master)
    assert done.position is None
    assert done.log is not None
    assert done.log.read_bytes() == old
    lost = done.lost
    assert lost is not None
    assert (lost.position, lost.length) == (int(failover.common), len(old) - failover.common)
    text = lost.path.read_text()
    assert re.findall(r"^(?!--).+$", text, re.MULTILINE) == [
        "INSERT INTO t(a,b)VALUES(1000,'lost; alone');",
        "BEGIN;",
        "INSERT INTO t(a,b)VALUES(1001,'lost ''quoted''');",
        "DELETE FROM t WHERE a=1;",
        "COMMIT;",
    ]
    assert lost.statements == 5
    assert re.findall(r"^-- position (\d+), CRC", text, re.MULTILINE)[0] == str(int(failover.common))
    assert (lost.path.stat().st_mode & 0o777) == 0o600

    head = await chain.follower("head", "relay")
    assert await head.when_applied(position, 30) == position
    same(chain.paths("relay"), chain.paths("head"))
    with contextlib.closing(apsw.Connection(str(chain.paths("head").database))) as connection:
        assert connection.execute("SELECT count(*) FROM t WHERE a >= 1000").get == 0


@pytest_twisted.ensureDeferred
async def test_where_nothing_can_be_compared_a_snapshot_is_taken_and_why_is_said(chain: Chain) -> None:
    """A copy that was promoted before anything came after its snapshot has a log that begins with the turn."""
    head = await with_rows(chain)
    position = await head.execute(ROW)
    master = await chain.master("head", head)
    relay = await chain.follower("relay", "head")
    await relay.when_applied(position, 30)
    await chain.stop(master)
    await head.close()
    await relay.promote()
    chain.roles.remove(relay)
    primary, master = await go_on_as_primary(chain, "relay")
    done = await rejoined(chain.paths("head"), master)
    assert (done.position, done.lost) == (None, None)
    assert done.reason is not None
    assert "begins where this one ends" in done.reason
    copy = await chain.follower("head", "relay")
    assert await copy.when_applied(await primary.execute(ROW), 30) > 0
    same(chain.paths("relay"), chain.paths("head"))


@pytest_twisted.ensureDeferred
async def test_a_database_without_a_common_history_is_not_given_up(failover: Failover, chain: Chain) -> None:
    other = await with_rows(chain, "other")
    await other.close()
    before = chain.paths("other").database.read_bytes()
    with pytest.raises(DifferentHistory, match=r"share no history .*--resnapshot"):
        await rejoined(chain.paths("other"), failover.master)
    assert chain.paths("other").database.read_bytes() == before
    done = await rejoined(chain.paths("other"), failover.master, resnapshot=True)
    assert (done.position, done.lost) == (None, None)
    copy = await chain.follower("other", "head")
    assert await copy.when_applied(await failover.head.execute(ROW), 30) > 0
    same(chain.paths("head"), chain.paths("other"))


@pytest_twisted.ensureDeferred
async def test_what_is_open_is_dropped_by_name(failover: Failover, chain: Chain) -> None:
    await chain.stop(failover.relay)
    paths = chain.paths("relay")
    tail = encode_v2(b"BEGIN") + encode_v2(b"INSERT INTO t(a,b)VALUES(77,'open')") + encode_v2(b"INSERT INTO")[:9]
    with open(paths.wal, "ab") as file:
        file.write(tail)
    promoted = await promoted_copy(paths)
    dropped = promoted.dropped
    assert dropped is not None
    assert (dropped.position, dropped.length, dropped.records) == (int(failover.common), len(tail), 2)
    assert dropped.first == "INSERT INTO t(a,b)VALUES(77,'open')"
    assert dropped.kept.read_bytes() == tail
    assert f"what was open at position {int(failover.common)} was dropped: 2 records" in str(dropped)
    primary = await chain.primary("relay")
    assert (await primary.query("SELECT count(*) FROM t WHERE a = 77")).rows == [(0,)]
    await primary.close()
    await primary.open()
    assert dropped.kept.exists()


@pytest_twisted.ensureDeferred
async def test_a_copy_that_is_behind_is_promoted_only_by_force(failover: Failover, chain: Chain) -> None:
    with contextlib.closing(apsw.Connection(str(chain.paths("relay").database))) as holding:
        holding.execute("BEGIN IMMEDIATE")
        position = await failover.head.execute(ROW)
        await failover.sibling.when_applied(position, 30)
        await failover.lose_head()
        while failover.relay.status()["positions"]["source"] != position:
            await chain.pause()
        status = failover.relay.status()["positions"]
        if status["durable"] < position:
            with pytest.raises(PromotionRefused, match=f"log ended at {int(position)} when it was last heard"):
                await failover.relay.promote()
            assert failover.relay.running
    with pytest.raises(PromotionRefused):
        await (await chain.follower("none", "head")).promote()


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_promoted(failover: Failover, chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(DatabaseLocked):
        await promoted_copy(chain.paths("relay"))
    with pytest.raises(PromotionRefused, match="not a whole database"):
        await (await chain.follower("kept", "head", engine="archive")).promote()
    await failover.lose_head()
    with pytest.raises(Exception, match="primary"):
        await promoted_copy(chain.paths("head"))
    with pytest.raises(LocalFilesDamaged, match="start it as `twistd spgrepl master`; if another"):
        await chain.follower("head", "relay")
    with pytest.raises(ConfigurationError, match="holds no copy"):
        await promoted_copy(DatabasePaths.of(tmp_path / "nothing.db"))


@pytest_twisted.ensureDeferred
async def test_a_promotion_that_fails_leaves_a_follower_that_follows(
    failover: Failover, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    # Before the record is in the log, and after that.
    for name in ("write_pair", "sqlite_state.write_state"):
        with monkeypatch.context() as patch:
            patch.setattr(f"spgrepl.failover.promotion.{name}", refuse)
            with pytest.raises(EngineFailed, match="No space left on device"):
                await failover.relay.promote()
        position = await failover.head.execute(ROW)
        assert await failover.relay.when_applied(position, 30) == position
        assert await failover.leaf.when_applied(position, 30) == position
        assert await failover.leaf.when_applied(failover.common, 30) >= position
    same(chain.paths("head"), chain.paths("leaf"))


@pytest.mark.parametrize("step", ["move_aside", "copy_aside", "write_pair"])
@pytest_twisted.ensureDeferred
async def test_a_return_that_was_cut_short_is_named_and_finished_by_the_next_call(
    failover: Failover, chain: Chain, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After the database's word: the old log is taken for no other one's, wherever it is by then."""
    await failover.lose_head()
    await failover.relay.promote()
    chain.roles.remove(failover.relay)
    primary, master = await go_on_as_primary(chain, "relay")
    paths = chain.paths("head")
    old = paths.wal.read_bytes()

    def killed(_: Path, pair: Pair | None = None) -> Path:
        if pair is not None and pair.becoming is not None:
            write_pair(_, pair)
            return _
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"spgrepl.failover.rejoin.{step}", killed)
        with pytest.raises(KeyboardInterrupt):
            await rejoined(paths, master)
    with pytest.raises(LocalFilesDamaged, match="nothing is lost; give the same command again"):
        await chain.follower("head", "relay")
    await chain.stop(chain.roles[-1])
    done = await rejoined(paths, master)
    assert done.log is not None
    assert done.log.read_bytes() == old
    assert done.position is not None
    head = await chain.follower("head", "relay")
    assert await head.when_applied(position := await primary.execute(ROW), 30) == position
    assert master.status()["snapshots"]["made"] == 0
    same(chain.paths("relay"), paths)


@pytest_twisted.ensureDeferred
async def test_what_a_return_has_listed_is_told_by_the_call_that_finishes_it(
    failover: Failover, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chain.stop(failover.relay)
    await failover.head.execute(ROW)
    await failover.lose_head()
    await promoted_copy(chain.paths("relay"), forced=True)
    _, master = await go_on_as_primary(chain, "relay")
    paths = chain.paths("head")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    # Another copy of the chain is running: only what the return calls itself may fail.
    no_word = SimpleNamespace(**{**vars(sqlite_state), "write_state": killed})
    # Before the database's word, and after it: the list is written once.
    for name, replacement in (("sqlite_state", no_word), ("move_aside", killed)):
        with monkeypatch.context() as patch:
            patch.setattr(f"spgrepl.failover.rejoin.{name}", replacement)
            with pytest.raises(KeyboardInterrupt):
                await rejoined(paths, master)
    done = await rejoined(paths, master)
    listed = sorted(paths.wal.parent.glob(f"{paths.wal.name}.lost-*"))
    assert [one.name for one in listed] == [f"{paths.wal.name}.lost-{int(failover.common)}"]
    assert done.position is None
    assert done.reason is not None
    assert f"were not shared: they are listed in {listed[0]}" in done.reason


@pytest_twisted.ensureDeferred
async def test_to_follow_twice_does_no_harm(failover: Failover, chain: Chain) -> None:
    await failover.lose_head()
    await failover.relay.promote()
    chain.roles.remove(failover.relay)
    primary, master = await go_on_as_primary(chain, "relay")
    paths = chain.paths("head")
    first = await rejoined(paths, master)
    assert first.position is not None
    assert await rejoined(paths, master) == Rejoined(first.position, None, None)
    head = await chain.follower("head", "relay")
    position = await primary.execute(ROW)
    assert await head.when_applied(position, 30) == position
    # Its own log has something now, which its own followers go on with.
    await chain.stop(head)
    log = paths.wal.read_bytes()
    assert await rejoined(paths, master) == Rejoined(int(position), None, None)
    assert paths.wal.read_bytes() == log
    head = await chain.follower("head", "relay")
    assert await head.when_applied(position := await primary.execute(ROW), 30) == position
    assert master.status()["snapshots"]["made"] == 0


@pytest_twisted.ensureDeferred
async def test_a_sibling_that_has_got_nothing_after_its_snapshot_goes_on_without_another(
    failover: Failover, chain: Chain
) -> None:
    for seed in range(10):  # more than what the log is compared by, of which nothing can be compressed
        failover.common = await failover.head.execute(
            "INSERT INTO t (b) VALUES (?)", (Random(seed).randbytes(1000),)
        )
    await failover.relay.when_applied(failover.common, 30)
    late = await chain.follower("late", "head")
    await late.when_applied(failover.common, 30)
    await chain.stop(late)
    assert not chain.paths("late").wal.read_bytes()
    await failover.lose_head()
    await failover.relay.promote()
    chain.roles.remove(failover.relay)
    primary, master = await go_on_as_primary(chain, "relay")
    done = await rejoined(chain.paths("late"), master)
    assert (done.reason, done.position is None) == (None, False)
    late = await chain.follower("late", "relay")
    assert await late.when_applied(position := await primary.execute(ROW), 30) == position
    assert master.status()["snapshots"]["made"] == 0
    same(chain.paths("relay"), chain.paths("late"))


@pytest_twisted.ensureDeferred
async def test_a_promotion_that_was_cut_short_is_not_told_as_something_that_was_open(
    failover: Failover, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chain.stop(failover.relay)
    await failover.lose_head()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("spgrepl.failover.promotion.sqlite_state.write_state", killed)
        with pytest.raises(KeyboardInterrupt):
            await promoted_copy(chain.paths("relay"), forced=True)
    promoted = await promoted_copy(chain.paths("relay"), forced=True)
    assert promoted.dropped is None
    primary, _ = await go_on_as_primary(chain, "relay")
    position = await primary.execute(ROW)
    assert await failover.leaf.when_applied(position, 30) == position


@pytest_twisted.ensureDeferred
async def test_a_drained_primary_takes_no_writes_until_that_is_undone(failover: Failover, chain: Chain) -> None:
    before = failover.head.execute(ROW)
    position = await failover.head.drain()
    assert await before == position
    with pytest.raises(WritesRefused, match=f"was drained at position {int(position)}"):
        await failover.head.execute(ROW)
    with pytest.raises(WritesRefused):
        async with failover.head.transaction() as block:
            await block.execute(ROW)
    assert (await failover.head.query("SELECT count(*) FROM t")).rows == [(10,)]
    await failover.relay.when_applied(position, 30)
    await failover.head.close()
    await failover.head.open()
    with pytest.raises(WritesRefused):
        await failover.head.execute(ROW)
    await failover.relay.promote()
    chain.roles.remove(failover.relay)
    primary, master = await go_on_as_primary(chain, "relay")
    await primary.execute(ROW)
    assert await failover.head.drain(on=False) == position
    assert await failover.head.execute(ROW) > position
    await failover.lose_head()
    assert (await rejoined(chain.paths("head"), master)).lost is not None


@pytest_twisted.ensureDeferred
async def test_a_subscriber_of_the_promoted_copy_goes_on_and_knows_what_was_lost(
    failover: Failover, chain: Chain
) -> None:
    await chain.stop(failover.relay)
    level = WalLevel(Level.LOGICAL)
    failover.relay = await chain.follower("relay", "head", wal_level=level)
    await failover.relay.when_applied(failover.common, 30)
    subscriber = await chain.subscriber("some", "relay")
    await subscriber.when_applied(failover.common, 30)
    await failover.lose_head()
    while failover.relay.status()["positions"]["source"] is None:
        await chain.pause()
    await failover.relay.promote()
    chain.roles.remove(failover.relay)
    primary, _ = await go_on_as_primary(chain, "relay")
    position = await primary.execute(ROW)
    assert await subscriber.when_applied(position, 30) == position
    assert await subscriber.when_applied(failover.common, 30) == failover.common
    with pytest.raises(DifferentHistory):
        await subscriber.when_applied(Position(failover.common + 1, history=failover.common.history))


@pytest_twisted.ensureDeferred
async def test_a_record_that_a_running_follower_has_stopped_at_is_left_out(
    failover: Failover, chain: Chain
) -> None:
    await failover.leaf.when_applied(await failover.head.execute(ROW), 30)
    with contextlib.closing(apsw.Connection(str(chain.paths("leaf").database))) as connection:
        connection.execute("DELETE FROM t WHERE a = 1")
    await failover.head.execute("UPDATE t SET b = 'other' WHERE a = 1")
    position = await failover.head.execute(ROW)
    follower = failover.leaf.follower
    while not isinstance(error := follower._error, ReplayStopped):
        await chain.pause()
    with pytest.raises(UsageError, match="nothing is skipped"):
        await follower.skip(error.position, error.crc ^ 1)
    database = str(chain.paths("leaf").database)
    assert await chain.command("skip", "--db", database, str(error.position), f"{error.crc:08x}") == 0
    assert await failover.leaf.when_applied(position, 30) == position


@pytest_twisted.ensureDeferred
async def test_a_follower_that_has_not_stopped_skips_nothing(failover: Failover) -> None:
    with pytest.raises(UsageError, match="has not stopped at a record"):
        await failover.relay.follower.skip(5, 6)


# -- copies of an SPG server, whose log may hold open transactions in its middle -------------------------------


def copy_of_statements(folder: Path, *records: bytes) -> tuple[DatabasePaths, int]:
    """A copy that began with a table, and has applied some records; and where its position is."""
    folder.mkdir()
    paths = DatabasePaths.of(folder / "copy.db")
    replay = Replay(SqliteEngine(paths.database), paths)
    replay.open()
    with contextlib.closing(apsw.Connection(str(replay.snapshot_path))) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    replay.install(replay.snapshot_path.stat().st_size, 1000)
    done = replay.apply([b"".join(records)])
    replay.close()
    return paths, done.applied


def rows_in(paths: DatabasePaths) -> list[int]:
    with contextlib.closing(apsw.Connection(str(paths.database))) as connection:
        return [a for (a,) in connection.execute("SELECT a FROM t ORDER BY a")]


def test_transactions_that_are_open_in_the_middle_of_a_log_are_ended_by_name(tmp_path: Path) -> None:
    records = [
        encode_v2(b"BEGIN"),
        encode_v2(b"INSERT INTO t VALUES (1)"),
        encode_v2(b"BEGIN"),
        encode_v2(b"INSERT INTO t VALUES (2)"),
        encode_statement(b"INSERT INTO t VALUES (3)"),
    ]
    paths, position = copy_of_statements(tmp_path / "first", *records)
    assert position == 1000 + len(b"".join(records))
    promoted = promote_copy(paths)
    assert promoted.ended == EndedTransactions(1000, 2, 2)
    assert promoted.before == ()
    assert "2 transactions that were open since position 1000 are rolled back" in "\n".join(promoted.lines())
    with contextlib.closing(DatabaseWriter(paths)) as writer:
        writer.open()
        (answer,) = writer.run([Request(("INSERT INTO t VALUES (4)",))])
        assert isinstance(answer, Written)
    assert rows_in(paths) == [3, 4]
    # Whoever has followed the copy goes on with its log.
    log = paths.wal.read_bytes()
    assert log.startswith(b"".join(records))
    other, _ = copy_of_statements(tmp_path / "second", log)
    assert rows_in(other) == [3, 4]


def test_transactions_that_nobody_can_tell_apart_are_not_ended(tmp_path: Path) -> None:
    records = [
        encode_v2(b"BEGIN"),
        encode_v2(b"INSERT INTO t VALUES (1)"),
        encode_v2(b"BEGIN"),
        encode_v2(b"INSERT INTO t VALUES (2)"),
        encode_v2(b"COMMIT"),
        encode_statement(b"INSERT INTO t VALUES (3)"),
    ]
    paths, _ = copy_of_statements(tmp_path / "first", *records)
    log = paths.wal.read_bytes()
    with pytest.raises(PromotionRefused, match="while transactions are open: 2 transactions were open"):
        promote_copy(paths)
    assert paths.wal.read_bytes() == log

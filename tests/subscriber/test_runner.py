"""Subscriptions that a primary's catalogue holds, run in one process with their master."""

from __future__ import annotations

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater

from spgrepl import DatabasePaths, MasterRole, MasterSettings, Primary, SubscriptionRunner


async def until(condition, seconds=10.0):
    """Wait for a condition; one that never comes fails the test."""
    end = reactor.seconds() + seconds
    while True:
        found = condition()
        found = await found if hasattr(found, "addCallback") else found
        if found:
            return found
        assert reactor.seconds() < end, "it did not come about"
        await deferLater(reactor, 0.01, lambda: None)


class Pair:
    """A primary that publishes, and one that subscribes."""

    def __init__(self, folder):
        self.folder = folder
        self.source = Primary(reactor, DatabasePaths.of(folder / "source.db"))
        self.own = Primary(reactor, DatabasePaths.of(folder / "own.db"))
        self.master = MasterRole(
            reactor,
            MasterSettings(
                self.source.paths,
                serverFromString(reactor, f"unix:{folder}/m"),
                wal_level=self.source.wal_level,
            ),
        )
        self.runner = SubscriptionRunner(reactor, self.own)
        self.create = f"CREATE SUBSCRIPTION s CONNECTION 'host={folder}/m' PUBLICATION p"

    async def open(self):
        await self.source.open()
        await self.own.open()
        self.master.startService()
        await self.master.master.listening
        await self.source.execute("SET effective_wal_level = 'logical'")
        for primary in (self.source, self.own):
            await primary.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        await self.source.execute("CREATE PUBLICATION p FOR TABLE t")
        self.runner.startService()

    async def close(self):
        await self.runner.stopService()
        await self.master.stopService()
        await self.source.close()
        await self.own.close()

    async def rows(self, primary=None):
        return (await (primary or self.own).query("SELECT * FROM t ORDER BY id")).rows

    async def caught_up(self):
        worker = self.runner.workers["s"]
        await until(lambda: (worker.status()["positions"]["applied"] or -1) >= self.source.position)

    def streaming(self):
        worker = self.runner.workers.get("s")
        return worker is not None and worker.state.value == "streaming"


@pytest_twisted.async_yield_fixture
async def pair(tmp_path):
    made = Pair(tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest_twisted.ensureDeferred
async def test_a_subscription_runs_from_its_statement_on_and_its_rows_are_logged(pair):
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    before = pair.own.position
    await pair.source.execute("INSERT INTO t VALUES (1, 1)")
    await pair.source.transaction(["UPDATE t SET n = n + 1", "INSERT INTO t VALUES (2, random())"])
    await pair.caught_up()
    assert await pair.rows() == await pair.rows(pair.source)
    assert pair.own.position > before
    shown = (await pair.own.query("SHOW SUBSCRIPTIONS")).rows
    assert shown == [("s", f"host={pair.folder}/m", "p", 1, pair.source.position)]


@pytest_twisted.ensureDeferred
async def test_dropping_a_subscription_stops_its_worker(pair):
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    await pair.own.execute("DROP SUBSCRIPTION s")
    await until(lambda: not pair.runner.workers and pair.master.master.status()["connections"] == 0, 1.0)
    await pair.source.execute("INSERT INTO t VALUES (1, 1)")
    assert await pair.rows() == []


@pytest_twisted.ensureDeferred
async def test_a_subscription_of_the_same_name_begins_anew(pair):
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    first = pair.runner.workers["s"]
    await pair.own.execute("DROP SUBSCRIPTION s")
    await pair.source.execute("INSERT INTO t VALUES (1, 1)")
    await pair.own.execute(pair.create)
    await until(lambda: pair.streaming() and pair.runner.workers["s"] is not first)
    await pair.source.execute("INSERT INTO t VALUES (2, 2)")
    await pair.caught_up()
    assert await pair.rows() == [(2, 2)]


@pytest_twisted.ensureDeferred
async def test_one_that_is_dropped_and_made_again_in_one_breath_begins_anew(pair):
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    first = pair.runner.workers["s"]
    await gatherResults([pair.own.execute("DROP SUBSCRIPTION s"), pair.own.execute(pair.create)])
    await until(lambda: pair.streaming() and pair.runner.workers["s"] is not first)
    await pair.source.execute("INSERT INTO t VALUES (2, 2)")
    await pair.caught_up()
    assert await pair.rows() == [(2, 2)]


@pytest_twisted.ensureDeferred
async def test_a_restart_goes_on_where_it_was(pair):
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    await pair.source.execute("INSERT INTO t VALUES (1, 1)")
    await pair.caught_up()
    await pair.runner.stopService()
    await pair.own.close()
    await pair.source.execute("UPDATE t SET n = n + 1")
    pair.own = Primary(reactor, DatabasePaths.of(pair.folder / "own.db"))
    await pair.own.open()
    pair.runner = SubscriptionRunner(reactor, pair.own)
    pair.runner.startService()
    await until(pair.streaming)
    await pair.caught_up()
    assert await pair.rows() == [(1, 2)]


@pytest_twisted.ensureDeferred
async def test_a_database_that_subscribes_to_itself_is_named_and_left_alone(pair):
    await pair.source.execute(pair.create)
    runner = SubscriptionRunner(reactor, pair.source)
    runner.startService()
    try:
        await until(lambda: "REPLICATION_LOOP" in str(runner.status().get("s", {}).get("error")))
        assert runner.workers["s"].state.value == "waiting"
        assert await pair.rows(pair.source) == []
    finally:
        await runner.stopService()


@pytest_twisted.ensureDeferred
async def test_a_connection_string_that_cannot_be_read_shows_in_the_status(pair):
    await pair.own.execute("CREATE SUBSCRIPTION s CONNECTION 'nonsense' PUBLICATION p")
    await until(lambda: "connection string" in str(pair.runner.status().get("s", {}).get("error")))
    await pair.own.execute("DROP SUBSCRIPTION s")
    await until(lambda: not pair.runner.status())


@pytest_twisted.ensureDeferred
async def test_a_statement_that_is_refused_stops_before_it_and_is_named(pair):
    await pair.own.execute("INSERT INTO t VALUES (2, 0)")
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    await pair.source.execute("INSERT INTO t VALUES (1, 1)")
    await pair.source.execute("INSERT INTO t VALUES (3, 3)")
    await pair.source.execute("INSERT INTO t VALUES (2, 2)")
    await until(lambda: "UNIQUE" in str(pair.runner.status()["s"]["error"]))
    assert await pair.rows() == [(1, 1), (2, 0), (3, 3)]
    await pair.own.execute("DELETE FROM t WHERE id = 2")
    await pair.caught_up()
    assert await pair.rows() == await pair.rows(pair.source)

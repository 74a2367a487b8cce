"""Subscriptions that a primary's catalogue holds, run in one process with their master."""

from __future__ import annotations

import contextlib
import re

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater

from spgrepl import DatabasePaths, MasterRole, MasterSettings, Primary, SubscriptionRunner
from spgrepl.catalogue.changes import CatalogWalk
from spgrepl.catalogue.definitions import Publications
from spgrepl.errors import StatementFailed, UsageError
from spgrepl.log.reader import iterate_records
from tests import sql as sqlite3


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


def error_of(pair):
    """What the status tells of the subscription."""
    return str(pair.runner.status().get("s", {}).get("error"))


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
async def test_a_connection_string_that_cannot_be_read_is_refused_at_once(pair):
    with pytest.raises(StatementFailed, match="names no host"):
        await pair.own.execute("CREATE SUBSCRIPTION s CONNECTION 'user=u dbname=d' PUBLICATION p")
    assert (await pair.own.query("SHOW SUBSCRIPTIONS")).rows == []


@pytest_twisted.ensureDeferred
async def test_one_that_an_earlier_version_accepted_shows_in_the_status(pair):
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    await pair.runner.stopService()
    await pair.own.close()
    with contextlib.closing(sqlite3.connect(pair.own.paths.database)) as connection, connection:
        connection.execute("UPDATE spgrepl_subscriptions SET connection = 'nonsense'")
    await pair.own.open()
    pair.runner = SubscriptionRunner(reactor, pair.own)
    pair.runner.startService()
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
    await until(lambda: "UNIQUE" in error_of(pair))
    assert await pair.rows() == [(1, 1), (2, 0), (3, 3)]
    await pair.own.execute("DELETE FROM t WHERE id = 2")
    await pair.caught_up()
    assert await pair.rows() == await pair.rows(pair.source)


ADVICE = re.compile(r"ALTER SUBSCRIPTION \"s\" SKIP \(position = (\d+), crc = '([0-9a-f]{8})'\)")


async def stopped_at_a_conflict(pair):
    """Where the second of three rows conflicts, what the error advises."""
    await pair.own.execute("INSERT INTO t VALUES (2, 0)")
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    for number in (1, 2, 3):
        await pair.source.execute(f"INSERT INTO t VALUES ({number}, {number})")
    return await until(lambda: ADVICE.search(error_of(pair)))


@pytest_twisted.ensureDeferred
async def test_the_statement_that_the_error_advises_skips_the_record(pair):
    found = await stopped_at_a_conflict(pair)
    assert "--skip-at" not in error_of(pair)
    before = pair.own.position
    assert await pair.own.execute(found[0]) == before  # it is not a part of the log
    await pair.caught_up()
    assert await pair.rows() == [(1, 1), (2, 0), (3, 3)]
    assert error_of(pair) == "None"


@pytest_twisted.ensureDeferred
async def test_the_runner_skips_the_record_that_a_subscription_has_stopped_at_and_no_other(pair):
    found = await stopped_at_a_conflict(pair)
    position, crc = int(found[1]), int(found[2], 16)
    for name, at, sum_, reason in (
        ("s", position + 1, crc, "nothing is skipped"),
        ("s", position, crc ^ 1, f"stopped at position {position}, CRC {crc:08x}"),
        ("x", position, crc, "no subscription 'x' runs here; those that run: s"),
    ):
        with pytest.raises(UsageError, match=reason):
            await pair.runner.skip(name, at, sum_)
    await pair.runner.skip("s", position, crc)
    await pair.caught_up()
    assert await pair.rows() == [(1, 1), (2, 0), (3, 3)]
    with pytest.raises(UsageError, match="has not stopped at a record"):
        await pair.runner.skip("s", position, crc)


@pytest_twisted.ensureDeferred
async def test_where_no_subscriptions_run_nothing_can_be_skipped(pair):
    with pytest.raises(UsageError, match="no subscriptions run here"):
        await pair.source.execute("ALTER SUBSCRIPTION s SKIP (position = 1, crc = 'a')")
    with pytest.raises(StatementFailed, match="only reads"):
        await pair.own.query("ALTER SUBSCRIPTION s SKIP (position = 1, crc = 'a')")


@pytest_twisted.ensureDeferred
async def test_a_publication_follows_a_table_that_is_renamed(pair):
    """At the master's filter, and for whoever learns the publications from the log: an archive, a relay."""
    await pair.own.execute(pair.create)
    await until(pair.streaming)
    await pair.source.execute("INSERT INTO t VALUES (1, 1)")
    await pair.caught_up()
    for primary in (pair.source, pair.own):
        await primary.execute("ALTER TABLE t RENAME TO orders")
    await pair.source.execute("INSERT INTO orders VALUES (2, 2)")
    await pair.source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    await pair.source.execute("INSERT INTO t VALUES (7)")
    await pair.caught_up()
    assert (await pair.own.query("SELECT * FROM orders")).rows == [(1, 1), (2, 2)]
    assert error_of(pair) == "None"
    walk = CatalogWalk(Publications())
    for batch in iterate_records(pair.source.paths.wal):
        walk.walk(batch)
    assert walk.publications.by_name["p"].tables == ("orders",)

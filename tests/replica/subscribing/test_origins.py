"""Primaries that subscribe to each other: each row once everywhere, and no row goes around in circles."""

from __future__ import annotations

import os
import random
import re

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString

from spgrepl import (
    DatabasePaths,
    FollowerRole,
    FollowerSettings,
    MasterRole,
    MasterSettings,
    Origin,
    Primary,
    SubscriptionRunner,
    WalLevel,
)
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.log.reader import iterate_records
from tests.server.test_subscription_runner import until


class Node:
    """A primary with a master, and the subscriptions that it has to others."""

    def __init__(self, folder, name, origin=Origin.ANY):
        self.name, self.folder = name, folder
        self.primary = Primary(reactor, DatabasePaths.of(folder / f"{name}.db"))
        endpoint = serverFromString(reactor, f"unix:{folder}/{name}")
        self.master = MasterRole(
            reactor, MasterSettings(self.primary.paths, endpoint, wal_level=self.primary.wal_level)
        )
        self.runner = SubscriptionRunner(reactor, self.primary, origin)

    async def open(self):
        await self.primary.open()
        self.master.startService()
        await self.master.master.listening
        await self.primary.execute("SET effective_wal_level = 'logical'")
        await self.primary.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        await self.primary.execute("CREATE PUBLICATION p FOR TABLE t")
        self.runner.startService()

    async def subscribe(self, other):
        await self.primary.execute(
            f"CREATE SUBSCRIPTION of_{other.name} CONNECTION 'host={other.folder}/{other.name}' PUBLICATION p"
        )

    async def close(self):
        await self.runner.stopService()
        await self.master.stopService()
        await self.primary.close()

    async def rows(self):
        return (await self.primary.query("SELECT * FROM t ORDER BY id")).rows

    @property
    def states(self):
        return [worker.state.value for worker in self.runner.workers.values()]

    def logged(self):
        """The rows that its log holds."""
        found = []
        for batch in iterate_records(self.primary.paths.wal):
            found += [sql.decode() for sql in batch.sql if sql is not None]
        return [sql for sql in found if sql.startswith(("INSERT INTO t", "UPDATE t", "DELETE FROM t"))]


async def opened(folder, edges, **origins):
    """Primaries by name; an edge says who subscribes to whom."""
    nodes = {name: Node(folder, name, **origins) for name in dict.fromkeys("".join(edges))}
    for node in nodes.values():
        await node.open()
    for reader, master in edges:
        await nodes[reader].subscribe(nodes[master])
    wanted = {name: ["streaming"] * sum(edge[0] == name for edge in edges) for name in nodes}
    # A subscription begins at its master's end: what is written before it streams does not come.
    await until(lambda: all(node.states == wanted[name] for name, node in nodes.items()))
    return nodes


async def settled(nodes, edges):
    """Wait until each has applied all that those have which it subscribes to, and nothing grows any more."""

    def at_the_end():
        return all(
            (nodes[reader].runner.workers[f"of_{master}"].status()["positions"]["applied"] or -1)
            >= nodes[master].primary.position
            for reader, master in edges
        )

    await until(at_the_end)


@pytest.mark.parametrize("edges", [("ab", "ba"), ("ba", "cb", "ac"), ("ab", "ba", "bc", "cb", "ac", "ca")])
@pytest_twisted.ensureDeferred
async def test_primaries_that_subscribe_to_each_other_settle(tmp_path, edges):
    if len(edges) == 6:
        # Where a row can come on two ways, only its own master's is wanted.
        nodes = await opened(tmp_path, edges, origin=Origin.NONE)
    else:
        nodes = await opened(tmp_path, edges)
    try:
        for number, node in enumerate(nodes.values(), 1):
            rows = f"({number}, 0), ({number + 10}, 0), ({number + 20}, 0)"
            await node.primary.execute(f"INSERT INTO t VALUES {rows}")
            await node.primary.execute(f"UPDATE t SET n = n + 1 WHERE id = {number}")
            await node.primary.execute(f"DELETE FROM t WHERE id = {number + 10}")
        expected = sorted((number + ten, int(not ten)) for number in range(1, len(nodes) + 1) for ten in (0, 20))
        for _ in range(3):
            await settled(nodes, edges)
        for node in nodes.values():
            assert await node.rows() == expected
            # Each of the five changes of each primary stands in each log once.
            assert len(node.logged()) == 5 * len(nodes)
            assert all(one["error"] is None for one in node.runner.status().values())
        # Those that came say where they originated.
        ids = {node.name: f"/* origin {load_cluster_id(node.primary.paths):016x} */" for node in nodes.values()}
        for node in nodes.values():
            texts = node.logged()
            for name, origin in ids.items():
                assert sum(origin in text for text in texts) == (0 if name == node.name else 5)
    finally:
        for node in nodes.values():
            await node.close()


FILL = (
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300) "
    "INSERT INTO t SELECT i, i FROM c"
)


@pytest.mark.parametrize("edges", [("ab", "ba"), ("ba", "cb", "ac")])
@pytest_twisted.ensureDeferred
async def test_a_table_that_is_emptied_keeps_the_rows_of_others(tmp_path, edges):
    """The log names each row that went: another may hold rows that have not come here yet."""
    nodes = await opened(tmp_path, edges)
    a, others = nodes["a"], [node for name, node in nodes.items() if name != "a"]
    try:
        await a.primary.execute(FILL)
        for _ in edges:
            await settled(nodes, edges)
        for node in nodes.values():
            assert len(await node.rows()) == 300
        await a.runner.stopService()
        for number, node in enumerate(others, 1001):
            await node.primary.execute(f"INSERT INTO t VALUES ({number}, 0)")
        await a.primary.execute("DELETE FROM t")
        assert await a.rows() == []
        a.runner.startService()
        await until(lambda: set(a.states) == {"streaming"})
        for _ in range(3):
            await settled(nodes, edges)
        for node in nodes.values():
            assert await node.rows() == [(number, 0) for number in range(1001, 1001 + len(others))]
            assert all(one["error"] is None for one in node.runner.status().values())
        origin = f" /* origin {load_cluster_id(a.primary.paths):016x} */"
        for node in others:
            deleted = [text for text in node.logged() if text.startswith("DELETE")]
            assert deleted == [f"DELETE FROM t WHERE id={number}{origin}" for number in range(1, 301)]
    finally:
        for node in nodes.values():
            await node.close()


@pytest_twisted.ensureDeferred
async def test_conflicts_at_a_primary_are_named_and_counted(tmp_path):
    edges = ("ab", "ba")
    nodes = await opened(tmp_path, edges)
    a, b = nodes["a"], nodes["b"]
    try:
        await a.primary.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
        await settled(nodes, edges)
        await a.runner.stopService()
        await b.primary.transaction(["DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (3, 5)"])
        found = []
        for sql, kind in (
            ("UPDATE t SET n = 7 WHERE id = 1", "update_missing"),
            ("DELETE FROM t WHERE id = 1", "delete_missing"),
            ("INSERT INTO t VALUES (3, 7)", "insert_exists"),
        ):
            await a.primary.execute(sql)
            worker = b.runner.workers["of_a"]
            await until(lambda worker=worker, kind=kind: kind in worker.status()["conflicts"])
            await until(lambda worker=worker: "table t, row id=" in str(worker.status()["error"]))
            error = worker.status()["error"]
            found.append(kind)
            assert worker.status()["conflicts"] == dict.fromkeys(found, 1)
            position, crc = re.search(r"position (\d+), CRC ([0-9a-f]{8})", error).groups()
            await b.runner.skip("of_a", int(position), int(crc, 16))
            await settled(nodes, ("ba",))
        assert await b.rows() == [(2, 0), (3, 5)]
        assert b.runner.workers["of_a"].status()["rows"] == {"t": {"insert": 2}}
    finally:
        for node in nodes.values():
            await node.close()


@pytest_twisted.ensureDeferred
async def test_rows_of_a_relay_originated_at_its_primary(tmp_path):
    """A primary that subscribes to somebody who subscribes to its follower gets none of its rows back."""
    a, b = Node(tmp_path, "a"), Node(tmp_path, "b")
    relay = FollowerRole(
        reactor,
        FollowerSettings(
            DatabasePaths.of(tmp_path / "relay.db"),
            clientFromString(reactor, f"unix:{tmp_path}/a"),
            listen=serverFromString(reactor, f"unix:{tmp_path}/relay"),
            wal_level=WalLevel("logical"),
        ),
    )
    try:
        for node in (a, b):
            await node.open()
        relay.startService()
        await relay.when_applied(a.primary.position, 10)
        await b.primary.execute(f"CREATE SUBSCRIPTION of_relay CONNECTION 'host={tmp_path}/relay' PUBLICATION p")
        await until(lambda: b.states == ["streaming"])
        await a.subscribe(b)
        await until(lambda: a.states == ["streaming"])
        await a.primary.execute("INSERT INTO t VALUES (1, 1)")
        await b.primary.execute("INSERT INTO t VALUES (2, 2)")
        await until(lambda: len(a.logged()) == len(b.logged()) == 2)
        await relay.when_applied(a.primary.position, 10)
        await b.primary.execute("INSERT INTO t VALUES (3, 3)")
        await until(lambda: len(a.logged()) == 3)
        for node in (a, b):
            await node.primary.execute("DELETE FROM t WHERE 0")  # what is logged is in the database by then
            assert await node.rows() == [(1, 1), (2, 2), (3, 3)]
            assert len(node.logged()) == 3
            assert all(one["error"] is None for one in node.runner.status().values())
        origin = f"/* origin {load_cluster_id(a.primary.paths):016x} */"
        assert sum(origin in text for text in b.logged()) == 1
        # Subscribing to one's own follower brings nothing, and says so.
        await a.primary.execute(f"CREATE SUBSCRIPTION of_relay CONNECTION 'host={tmp_path}/relay' PUBLICATION p")
        await until(lambda: "of_relay" in a.runner.workers)
        await until(lambda: "a copy of this side's own" in str(a.runner.workers["of_relay"].status()["error"]))
    finally:
        await relay.stopService()
        for node in (a, b):
            await node.close()


@pytest_twisted.ensureDeferred
async def test_rows_that_are_written_while_their_subscription_stops_keep_their_origin(tmp_path):
    nodes = await opened(tmp_path, ("ab",))
    a, b = nodes["a"], nodes["b"]
    try:
        target = a.runner.workers["of_b"]._target
        await a.runner.stopService()
        target.begin()
        target.execute(
            [b"DELETE FROM t WHERE id=1", b"DELETE FROM t WHERE id=2 /* origin 00000000000000ff */"], {}, rows=True
        )
        assert target._origins() == (load_cluster_id(b.primary.paths), 255)
    finally:
        for node in nodes.values():
            await node.close()


@pytest.mark.parametrize("edges", [("ab", "ba"), ("ba", "cb", "ac")])
@pytest.mark.parametrize("seed", range(int(os.environ.get("SPGREPL_RINGS", "1"))))
@pytest_twisted.ensureDeferred
async def test_whatever_they_write_all_have_the_same_in_the_end(tmp_path, edges, seed):
    """Each writes rows of its own, empties them at times, and its subscriptions are stopped and started."""
    dice = random.Random(seed)
    nodes = await opened(tmp_path, edges)
    rows = {name: set() for name in nodes}
    last = {name: number for number, name in enumerate(nodes)}
    try:
        for _ in range(30):
            name = dice.choice(list(nodes))
            node, mine = nodes[name], rows[name]
            own = f"WHERE id % {len(nodes)} = {last[name] % len(nodes)}"
            kind = dice.choice(["insert", "insert", "update", "delete", "clear"])
            if kind == "insert" or not mine:
                new = [last[name] + len(nodes) * (number + 1) for number in range(dice.choice([1, 3, 120]))]
                last[name] = new[-1]
                mine.update(new)
                await node.primary.execute_many("INSERT INTO t VALUES (?, 0)", [(one,) for one in new])
            elif kind == "update":
                await node.primary.execute(f"UPDATE t SET n = n + 1 {own}")
            elif kind == "delete":
                await node.primary.execute(f"DELETE FROM t WHERE id = {mine.pop()}")
            else:
                await node.primary.execute(f"DELETE FROM t {own}")
                mine.clear()
            if dice.random() < 0.1:
                await node.runner.stopService()
                node.runner.startService()
        for _ in nodes:
            await until(lambda: all(set(node.states) == {"streaming"} for node in nodes.values()))
            await settled(nodes, edges)
        found = [await node.rows() for node in nodes.values()]
        assert found == [found[0]] * len(found)
        assert [one for one, _ in found[0]] == sorted(set().union(*rows.values()))
        assert all(one["error"] is None for node in nodes.values() for one in node.runner.status().values())
    finally:
        for node in nodes.values():
            await node.close()

"""The nodes of a simulation, what is asked of them, what happens to them, and what must hold all the time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw
import attrs
from twisted.python.failure import Failure

from simulation.disk import Disk
from simulation.oracle import PUBLISHED, TABLES, InvariantBroken, Oracle, Rows, rows_of
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.targets.stored_state import read_subscription
from spgrepl.errors import SpgReplError, StatementFailed
from spgrepl.replica.following.states import OnDivergence
from spgrepl.sqlite.state import read_state
from spgrepl.testing import Cluster, NotInTime, PrimaryNode, StepReactor

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
    "CREATE TABLE u (id TEXT PRIMARY KEY, b)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, n)",
    "INSERT INTO c VALUES (1, 0)",
    "CREATE PUBLICATION p FOR TABLE t, c",
)

_HEAL_SECONDS = 240.0


@attrs.define(eq=False)
class Write:
    """Something that was asked of the primary.

    Attributes:
        number: Its number.
        marker: The row of `t` or `u` by which it is recognised; None where it must be refused.
        position: Where it was acknowledged; None while it was not.
        refused: Whether it was refused.
    """

    number: int
    marker: tuple[str, int | str] | None
    position: int | None = None
    refused: bool = False


@attrs.define(eq=False)
class Node:
    """A node that may be killed and started again.

    Attributes:
        name: Its name.
        of: Whom it follows; None for the primary.
        start: Starts it on the files that are there.
        service: What runs; None while nothing does.
        seen: The lowest position of the log at which its present rows may stand.
        ended: Why it has ended by itself; None while it has not.
    """

    name: str
    of: str | None
    start: Callable[[], Any]
    service: Any = None
    seen: int = 0
    ended: BaseException | None = None


class World:
    """One course of the simulation.

    Args:
        seed: Decides everything.
        folder: Where the nodes have their files; it must be empty.
        actions: How many things happen.

    Attributes:
        counts: How often what happened.
        trace: A checksum of how the course went so far. Two courses of one seed have the same.
    """

    def __init__(self, seed: int, folder: Path, actions: int = 60) -> None:
        self.seed = seed
        self._folder = folder
        self._actions = actions
        self._chance = random.Random(seed)
        self._disk = Disk(self._chance)
        self.counts: Counter[str] = Counter()
        self.trace = 0
        self._writes: list[Write] = []
        self._number = 0
        self._generation = 0
        self._nodes: dict[str, Node] = {}
        self._known_paths: dict[str, DatabasePaths] = {}
        self._oracle = Oracle(self._paths("p").wal)

    def run(self) -> None:
        """Run the course.

        Raises:
            InvariantBroken: Something that must hold does not.
        """
        random.seed(self.seed)  # of the pauses between connections
        with self._disk.installed():
            self._begin()
            try:
                self._go_on(self._actions)
                self._heal()
                self._restore_backup()
            finally:
                self._end()

    def _go_on(self, actions: int) -> None:
        for _ in range(actions):
            self._act()
            self._cluster.pass_time(self._chance.choice((0.0, 0.02, 0.1, 0.3)))
            self.check()

    def _restore_backup(self) -> None:
        """The operator puts the primary back to a backup: followers take a fresh copy. Subscribers would stop."""
        node, folder = self._nodes["p"], self._folder / "p"
        self._stop(node)
        backup = self._disk.snapshot(folder)
        self._start(node)
        self._write()
        self._cluster.pass_time(self._chance.choice((0.0, 1.0)))
        self.check()
        self._generation += 1
        self._stop(node)
        self._disk.restore(folder, backup)
        for name in ("s1", "s2"):
            self._stop(self._nodes.pop(name))
        self._oracle.close()
        self._oracle = Oracle(self._paths("p").wal)
        self._writes.clear()
        self._start(node)
        # As long as what was written before, now and then: then positions say nothing.
        self._write()
        for copy in self._nodes.values():
            copy.seen = 0
        self._cluster.pass_time(5)
        self._heal()

    # -- nodes --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._cluster = Cluster(self._folder, StepReactor(self._chance.randrange))
        folders = {name: self._folder / name for name in ("p", "r", "f1", "f2", "s1", "s2")}
        for folder in folders.values():
            folder.mkdir()
        self._cluster.paths = self._paths  # type: ignore[method-assign]
        more: dict[str, Any] = {"on_divergence": OnDivergence.RESNAPSHOT}
        self._add("p", None, lambda: self._cluster.primary("p"))
        self._disk.during = self._look
        for sql in SCHEMA:
            self._primary.execute(sql)
        self._add("r", "p", lambda: self._cluster.follower("r", of="p", wal_level=_logical(), **more))
        self._add("f1", "p", lambda: self._cluster.follower("f1", of="p", listen=False, **more))
        self._add("f2", "r", lambda: self._cluster.follower("f2", of="r", listen=False, **more))
        self._add("s1", "p", lambda: self._cluster.subscriber("p", name="s1", of="p"))
        self._add("s2", "r", lambda: self._cluster.subscriber("p", name="s2", of="r"))

    def _paths(self, name: str) -> DatabasePaths:
        if name not in self._known_paths:
            self._known_paths[name] = DatabasePaths.of(self._folder / name / "n.db")
        return self._known_paths[name]

    def _add(self, name: str, of: str | None, start: Callable[[], Any]) -> None:
        node = self._nodes[name] = Node(name, of, start)
        self._start(node)

    def _start(self, node: Node) -> None:
        node.ended = None
        node.service = node.start()
        service = node.service.master if isinstance(node.service, PrimaryNode) else node.service

        def ended(failure: Failure) -> None:
            node.ended = failure.value

        service.finished.addErrback(ended)

    def _look(self) -> None:
        """In the middle of a flush a master in another process looks at the log, and sends what it may."""
        node = self._nodes["p"].service
        if node is not None and self._chance.random() < 0.3:
            node.master.log.look()
            # The writer's own thread is in the flush; all others go on.
            for _ in range(self._chance.randrange(60)):
                self._cluster.reactor.step()

    @property
    def _primary(self) -> PrimaryNode:
        node: PrimaryNode = self._nodes["p"].service
        return node

    def _stop(self, node: Node) -> None:
        if isinstance(node.service, PrimaryNode):
            self._cluster.stop(node.service.master)
            self._cluster.stop(node.service.service)
        else:
            self._cluster.stop(node.service)
        node.service = None

    # -- what happens -------------------------------------------------------------------------------------------

    def _act(self) -> None:
        actions = (
            (self._write, 30),
            (self._kill, 6),
            (self._restart, 2),
            (self._cut, 5),
            (self._hold, 3),
            (self._cut_within, 4),
            (self._trickle, 2),
            (self._flip, 2),
            (self._refuse_flush, 2),
            (self._lose_power, 3),
            (self._open_slowly, 3),
        )
        action = self._chance.choices([one for one, _ in actions], [weight for _, weight in actions])[0]
        self.counts[action.__name__.lstrip("_")] += 1
        action()

    def _write(self) -> None:
        for _ in range(self._chance.randrange(1, 6)):
            self._number += 1
            number = self._number
            kind = self._chance.randrange(6)
            primary = self._primary.primary
            if kind == 0:
                write = Write(number, ("u", f"k{number}"))
                asked = primary.execute("INSERT INTO u VALUES (?, ?)", (f"k{number}", "x" * number))
            elif kind == 1:
                write = Write(number, ("t", number))
                asked = primary.transaction(
                    [
                        "UPDATE c SET n = n + 1",
                        f"INSERT INTO t VALUES ({number}, 'in a transaction')",
                        f"DELETE FROM t WHERE id < {number - 40}",
                        "UPDATE u SET b = b || '.' WHERE id IN (SELECT id FROM u ORDER BY id LIMIT 2)",
                    ]
                )
            elif kind == 2:
                write = Write(number, None)
                asked = primary.transaction(
                    [f"INSERT INTO t VALUES ({number}, 'never')", "INSERT INTO c VALUES (1, 'taken')"]
                )
            else:
                write = Write(number, ("t", number))
                asked = primary.execute("INSERT INTO t VALUES (?, ?)", (number, self._chance.randrange(1000)))
            self._writes.append(write)
            generation = self._generation
            asked.addCallbacks(
                self._acknowledged, self._not_done, (write, generation), errbackArgs=(write, generation)
            )

    def _acknowledged(self, position: Any, write: Write, generation: int) -> None:
        if generation == self._generation:
            write.position = int(position)

    def _not_done(self, failure: Failure, write: Write, generation: int) -> None:
        failure.trap(SpgReplError)
        if generation == self._generation and failure.check(StatementFailed):
            write.refused = True

    def _some_node(self) -> Node:
        return self._nodes[self._chance.choice(("p", "p", "r", "r", "r", "f1", "f2", "s1", "s2"))]

    def _kill(self) -> None:
        node = self._some_node()
        if node.name == "p":
            if self._chance.random() < 0.5:
                self._kill_inside(power=False)
                return
            self._generation += 1
        self._begin_again(node, self._disk.snapshot(self._folder / node.name))

    def _lose_power(self) -> None:
        self._kill_inside(power=True)

    def _kill_inside(self, power: bool) -> None:
        """Kill the primary while it writes its log."""

        def caught() -> None:
            # What it does and tells from here on does not happen.
            self._generation += 1
            self._cut_from("p")

        node, paths = self._nodes["p"], self._paths("p")
        trap = self._disk.set_trap(
            self._folder / "p", paths.wal, self._chance.randrange(2), self._chance.random() < 0.4, caught
        )
        self._write()
        for _ in range(300):
            if trap.files is not None or not self._cluster.reactor.step():
                break
        self._disk.drop_trap()
        if trap.files is None:
            return
        self.counts["killed inside a write"] += 1
        if power:
            self.counts["bytes lost"] += self._disk.lose_power(trap.files, paths.wal, trap)
        self._begin_again(node, trap.files)

    def _open_slowly(self) -> None:
        """A relay starts again, and its disk takes its time: those who follow it are there before its copy is."""
        node = self._nodes["r"]
        self._stop(node)
        first = self._cluster.reactor.sources
        self._start(node)
        release = self._cluster.reactor.hold(first)
        self._cluster.pass_time(self._chance.choice((0.5, 2.0)))
        release()

    def _begin_again(self, node: Node, files: dict[Path, bytes]) -> None:
        folder = self._folder / node.name
        self._cut_from(node.name)
        self._stop(node)
        self._disk.restore(folder, files)
        self._cluster.pass_time(self._chance.choice((0.0, 0.0, 0.5)))
        self._start(node)

    def _cut_from(self, name: str) -> None:
        for connection in self._cluster.network.connections:
            if name in (connection.name, connection.client_name):
                connection.cut()

    def _restart(self) -> None:
        node = self._some_node()
        if node.name == "p":
            self._generation += 1
        self._stop(node)
        self._start(node)

    def _cut(self) -> None:
        self._cluster.network.cut(self._chance.choice(("p", "r", None)))

    def _hold(self) -> None:
        name = self._chance.choice(("p", "r", None))
        self._cluster.network.hold(name)
        self._write()
        self._cluster.pass_time(self._chance.choice((0.1, 1.0, 20.0)))
        self._cluster.network.hold(name, held=False)

    def _cut_within(self) -> None:
        for connection in self._cluster.network.to(None):
            if self._chance.random() < 0.5:
                pipe = connection.server.out
                connection.to_client.cut_after = pipe.arrived + self._chance.randrange(200)
        self._write()

    def _trickle(self) -> None:
        for connection in self._cluster.network.to(None):
            connection.to_client.piece = self._chance.choice((1, 5, 13, 100))
        self._write()
        self._cluster.pass_time(0.2)
        for connection in self._cluster.network.to(None):
            connection.to_client.piece = 65536

    def _flip(self) -> None:
        """A bit of what a follower gets is turned over; it may take a fresh snapshot then.

        Nobody may follow it, for those would have to begin again too. On a SUB stream a SKIP has no checksum.
        """
        for connection in self._cluster.network.to(None):
            if connection.client_name in ("f1", "f2"):
                place = connection.server.out.arrived + self._chance.randrange(400)
                connection.to_client.flip = (place, self._chance.randrange(8))
        self._write()

    def _refuse_flush(self) -> None:
        self._disk.failing = self._chance.randrange(1, 3)
        self._write()
        self._cluster.pass_time(0.1)
        self._disk.failing = 0

    # -- what must hold -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """See that everything holds that must hold at any time.

        Raises:
            InvariantBroken: Something does not.
        """
        self._oracle.follow()
        reactor, position = self._cluster.reactor, self._oracle.position
        self.trace = crc32(repr((self.trace, reactor.steps, reactor.seconds(), position)).encode())
        self._check_writes()
        for node in self._nodes.values():
            if node.name != "p" and self._paths(node.name).database.exists():
                self._check_copy(node)

    def _check_writes(self) -> None:
        known = self._oracle.position
        latest = self._oracle.at(known)
        there = {("t", row[0]) for row in latest[0]} if latest else set()
        for write in self._writes[-40:]:
            if write.position is not None and write.position > known:
                raise InvariantBroken(
                    f"write {write.number} was acknowledged at {write.position}, the durable log ends at {known}"
                )
            if write.position is not None and write.marker is not None and write.marker[0] == "t":
                state = self._oracle.at(write.position)
                if write.marker[1] not in {row[0] for row in state[0]}:
                    raise InvariantBroken(f"write {write.number} was acknowledged and is not in the log")
            if write.marker is None and ("t", write.number) in there:
                raise InvariantBroken(f"write {write.number} was refused and is in the log")

    def _check_copy(self, node: Node) -> None:
        subscriber = node.name.startswith("s")
        with closing(apsw.Connection(str(self._paths(node.name).database))) as connection:
            connection.execute("BEGIN")
            if subscriber:
                found = read_subscription(connection, node.name)
                position = None if found is None else found.position
            else:
                stored = read_state(connection)
                position = None if stored is None else stored.replay.position
            if position is None:
                return
            rows = rows_of(connection, PUBLISHED if subscriber else TABLES)
        if node.of == "p":
            self._check_place(node, position, rows, subscriber)
        else:
            self._find_place(node, rows, subscriber)

    def _check_place(self, node: Node, position: int, rows: Rows, subscriber: bool) -> None:
        if position < node.seen:
            raise InvariantBroken(f"{node.name} went back from {node.seen} to {position}")
        if position > self._oracle.position:
            raise InvariantBroken(f"{node.name} is at {position}, the durable log ends at {self._oracle.position}")
        if rows != self._oracle.at(position, subscriber):
            raise InvariantBroken(
                f"{node.name} at position {position} has other rows than the log:\n{rows}\n"
                f"{self._oracle.at(position, subscriber)}"
            )
        node.seen = position

    def _find_place(self, node: Node, rows: Rows, subscriber: bool) -> None:
        """Behind a relay positions are its own: the rows must be those of some moment, never of an earlier one."""
        states = self._oracle.published if subscriber else self._oracle.states
        place = next((at for at, state in states.items() if at >= node.seen and state == rows), None)
        if place is None:
            raise InvariantBroken(f"{node.name} has rows that the log never had after {node.seen}:\n{rows}")
        node.seen = place

    # -- the end ------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        """Everything works again: all copies come to hold all."""
        self._disk.failing = 0
        for connection in self._cluster.network.to(None):
            connection.cut()
        for node in self._nodes.values():
            if node.ended is not None:
                raise InvariantBroken(f"{node.name} has ended: {node.ended}")
        self._cluster.pass_time(1)
        last = self._primary.execute("INSERT INTO u VALUES (?, 'healed')", (f"healed {self._number}",))
        self._oracle.follow()
        wanted = self._oracle.at(int(last)), self._oracle.at(int(last), published=True)
        for node in self._nodes.values():
            if node.name == "p":
                continue
            subscriber = node.name.startswith("s")
            try:
                self._cluster.until(
                    lambda node=node, subscriber=subscriber: (  # type: ignore[misc]
                        self._rows(node, subscriber) == wanted[subscriber]
                    ),
                    _HEAL_SECONDS,
                )
            except NotInTime:
                raise InvariantBroken(
                    f"{node.name} does not come to hold everything: {node.service.status()}"
                ) from None
        self.check()
        self._oracle.verify()

    def _rows(self, node: Node, subscriber: bool) -> Rows:
        if not self._paths(node.name).database.exists():
            return ()
        with closing(apsw.Connection(str(self._paths(node.name).database))) as connection:
            return rows_of(connection, PUBLISHED if subscriber else TABLES)

    def _end(self) -> None:
        self._oracle.close()
        try:
            self._cluster.close()
        except NotInTime as error:
            raise InvariantBroken(f"a node does not stop: {error}") from error


def _logical() -> Any:
    from spgrepl.log.wal_level import Level, WalLevel  # noqa: PLC0415

    return WalLevel(Level.LOGICAL)

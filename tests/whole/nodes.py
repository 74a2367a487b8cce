"""A primary, a follower and a subscriber without sockets and threads, which take the same log step by step."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.sqlite.database_copy import save_database
from tests.primary.copying import Writer
from tests.primary.copying import opened as opened_writer
from tests.replica.following.copies import Copy
from tests.replica.subscribing.kit import Rig, running
from tests.whole.comparing import dump

Script = tuple[tuple[str, ...], tuple[str | tuple[str, ...], ...]]
"""A schema, and statements; a tuple of them is a transaction. What begins with "!" has to be refused, and
"reopen" closes the primary and opens it again."""

EVERY = "CREATE PUBLICATION every FOR ALL TABLES"


class Nodes:
    """A primary and its copies.

    Args:
        folder: An empty folder.
        writer: The primary.
        copy: An open follower's copy without a snapshot.
        schema: Statements to run before the copies are made.

    Attributes:
        refused: Why those of the schema's statements that were refused were.
    """

    def __init__(self, folder: Path, writer: Writer, copy: Copy, schema: tuple[str, ...] = ()) -> None:
        self.writer = writer
        self.copy = copy
        self.refused = [
            answer for answer in self.run([(sql,) for sql in schema]) if not isinstance(answer, Written)
        ]
        self._folder = folder
        self._followed = 0
        self._rig: Rig | None = None
        copy.replay.install(0, 0)
        copy.replay.resume()

    def attempt(self, *statements: str) -> bool:
        """Run a statement, or several as a transaction; returns whether they were accepted."""
        (answer,) = self.run([statements])
        return isinstance(answer, Written)

    def run(self, requests: Sequence[Sequence[str]]) -> list[Written | StatementFailed]:
        """Run requests as one group, each a statement or several as a transaction.

        Returns:
            What became of each.
        """
        made = [Request(tuple(statements), transaction=len(statements) > 1) for statements in requests]
        found = []
        for answer in self.writer.run(made):
            if not isinstance(answer, (Written, StatementFailed)):
                raise answer
            found.append(answer)
        return found

    def subscribe(self, stack: contextlib.ExitStack) -> None:
        """Begin a subscription to all tables, from the rows that are there on."""
        self.writer.execute(EVERY)
        log = self.writer.paths.wal.read_bytes()
        folder = self._folder / "subscriber"
        folder.mkdir()
        rig = stack.enter_context(running(folder, tables=(), publications=(EVERY,), log=log))
        rig.master.source.save = self._save_snapshot
        rig.master.catalog.rows_from = 0  # as a master reads it from its database
        rig.start("every")
        rig.settle()
        self._rig = rig
        self._subscribed = len(log)

    def _save_snapshot(self, path: Path) -> int:
        return save_database(self.writer.paths.database, path)

    # -- comparing --------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Let the follower take what is new in the log."""
        with open(self.writer.paths.wal, "rb") as log:
            log.seek(self._followed)
            piece = log.read()
        self._followed += len(piece)
        assert self.copy.replay.apply([piece]).applied == self._followed

    def check(self) -> None:
        """Let the copies take what is new in the log; then everything must be equal."""
        self.follow()
        assert_equal(dump(self.copy.paths.database), dump(self.writer.paths.database))
        if self._rig is not None:
            self._check_subscriber(self.writer.paths.wal.read_bytes())

    def _check_subscriber(self, log: bytes) -> None:
        rig = self._rig
        assert rig is not None
        rig.grow(log[self._subscribed :])
        self._subscribed = len(log)
        for _ in range(100):
            rig.settle()
            assert rig.status["error"] is None, rig.status
            assert rig.ended == []
            if rig.status["positions"]["applied"] == len(log):
                break
        assert rig.status["positions"]["applied"] == len(log), rig.status
        there = dump(rig.database)
        tables = [name for name in there if name not in {"schema", "user_version", "application_id"}]
        tables = [name for name in tables if not name.startswith("sqlite_")]
        assert_equal({name: there[name] for name in tables}, dump(self.writer.paths.database, tables))


def assert_equal(found: dict[str, object], expected: dict[str, object]) -> None:
    """Name what differs, and how."""
    differing = []
    for name in sorted(found.keys() | expected.keys()):
        here, there = found.get(name), expected.get(name)
        if here == there:
            continue
        if isinstance(here, list) and isinstance(there, list):
            here, there = [row for row in here if row not in there], [row for row in there if row not in here]
        differing.append(f"{name}: found {here!r:.1000}, expected {there!r:.1000}")
    assert not differing, "\n".join(differing)


def set_up(connection: apsw.Connection) -> None:
    """Register a function and a collation, as an embedding program does at the primary and nowhere else."""
    numbers = itertools.count()
    connection.create_scalar_function("next_number", lambda: next(numbers), 0)
    connection.create_collation("backwards", _backwards)


def _backwards(one: str, other: str) -> int:
    return (one[::-1] > other[::-1]) - (one[::-1] < other[::-1])


@contextlib.contextmanager
def nodes(folder: Path, *schema: str, subscriber: bool = False) -> Iterator[Nodes]:
    """Nodes that are put away in the end."""
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(opened_writer(folder, setup=set_up))
        copy = Copy(folder)
        copy.open()
        stack.callback(copy.close)
        made = Nodes(folder, writer, copy, schema)
        if subscriber:
            made.subscribe(stack)
        yield made

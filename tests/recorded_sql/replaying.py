"""Running recorded SQL on a primary with a live follower, and beside it on plain SQLite."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import apsw
import attrs

from spgrepl.errors import SpgReplError, StatementFailed
from spgrepl.primary.writing.long_transaction import LongTransaction
from spgrepl.text.sqltext import significant_tokens
from tests.recorded_sql.recording import Recorded
from tests.replica.following.copies import quick_folder
from tests.whole.comparing import dump
from tests.whole.nodes import Nodes, nodes

_READS = frozenset({"SELECT", "VALUES", "EXPLAIN"})
_ENDS = {"COMMIT": True, "END": True, "ROLLBACK": False}
_LOOK_AFTER = 20


@attrs.define
class Outcome:
    """What came of a recording.

    Attributes:
        databases: How many databases there were.
        statements: How many statements ran on the primary.
        refused_by_sqlite: How many of them plain SQLite refuses as well.
        refused: Why the primary alone refused statements, and how many.
        differing: The databases whose follower differs, and how.
        unlike_plain: The databases of which nothing was refused, and which differ from plain SQLite's.
    """

    databases: int = 0
    statements: int = 0
    refused_by_sqlite: int = 0
    refused: Counter[str] = attrs.field(factory=Counter)
    differing: dict[str, str] = attrs.field(factory=dict)
    unlike_plain: dict[str, str] = attrs.field(factory=dict)


def replay(recording: Iterable[Recorded]) -> Outcome:
    """Run each database's statements on a primary of its own, and compare its follower."""
    outcome = Outcome()
    for recorded in recording:
        outcome.databases += 1
        with quick_folder() as folder, nodes(folder) as made:
            run = _Run(made, folder, outcome)
            for connection, sql in recorded.statements:
                run.take(connection, sql)
            run.end()
            _compare(run, recorded.database, folder, outcome)
    return outcome


def _compare(run: _Run, database: str, folder: Path, outcome: Outcome) -> None:
    try:
        run.nodes.check()
    except (AssertionError, SpgReplError) as error:
        outcome.differing[database] = str(error)[:500]
    if run.refused:
        return
    run.plain.close()
    here, there = dump(run.nodes.writer.paths.database), dump(folder / "plain.db")
    unlike = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if unlike:
        outcome.unlike_plain[database] = ", ".join(unlike)


class _Run:
    """The statements of one database, from any of its connections."""

    def __init__(self, made: Nodes, folder: Path, outcome: Outcome) -> None:
        self.nodes = made
        self.plain = apsw.Connection(str(folder / "plain.db"))
        self.plain.execute("PRAGMA synchronous = OFF")
        self.refused = False
        self._outcome = outcome
        self._open: LongTransaction | None = None
        # Whose transaction is open, and the savepoint that began it, if one did.
        self._owner: int | None = None
        self._outermost: str | None = None

    def take(self, connection: int, sql: str) -> None:
        """Run a statement, unless it only reads."""
        words = [token.text.upper() for token in significant_tokens(sql)[:3]]
        if not words or words[0] in _READS or words == [";"]:
            return
        if words[0] == "BEGIN":
            self._begin(connection)
        elif self._owner is None and words[0] == "SAVEPOINT":
            self._begin(connection)
            self._outermost = words[1]
            self._run(sql)
        elif connection == self._owner and words[0] in _ENDS and words[1:2] != ["TO"] and "TO" not in words:
            self._finish(_ENDS[words[0]])
        elif connection == self._owner and words[0] == "RELEASE" and words[-1] == self._outermost:
            self._finish(commit=True)
        elif words[0] not in _ENDS:
            if self._owner not in (None, connection):
                # That connection was closed: nobody else could write.
                self._finish(commit=False)
            self._run(sql)

    def _begin(self, connection: int) -> None:
        if self._owner is not None:
            self._finish(commit=False)
        self._open = LongTransaction(self.nodes.writer)
        self._open.begin()
        self._owner = connection
        self.plain.execute("BEGIN")

    def _finish(self, commit: bool) -> None:
        assert self._open is not None
        transaction, self._open = self._open, None
        self._owner = self._outermost = None
        if commit:
            answer = transaction.commit()
            failure = answer if isinstance(answer, SpgReplError) else None
            self._judge("COMMIT", failure)
        else:
            transaction.rollback()
        if self.plain.in_transaction:
            self.plain.execute("COMMIT" if commit and failure is None else "ROLLBACK")

    def _run(self, sql: str) -> None:
        failure: SpgReplError | None = None
        if self._open is None:
            (answer,) = self.nodes.run([(sql,)])
            failure = answer if isinstance(answer, StatementFailed) else None
        else:
            try:
                self._open.run(sql, None)
            except StatementFailed as error:
                failure = error
        self._judge(sql, failure)
        if self._outcome.statements % _LOOK_AFTER == 0:
            self.nodes.follow()

    def _judge(self, sql: str, failure: SpgReplError | None) -> None:
        """Run a statement on plain SQLite, and see whether that refuses it, too."""
        self._outcome.statements += 1
        refused_there = False
        # Another file would be one of whoever runs this.
        if sql != "COMMIT" and not sql.lstrip().upper().startswith("ATTACH"):
            try:
                self.plain.execute(sql).fetchall()
            except (apsw.Error, UnicodeDecodeError):
                refused_there = True
        if failure is None:
            return
        if refused_there:
            self._outcome.refused_by_sqlite += 1
            return
        self.refused = True
        self._outcome.refused[f"{sql.split(maxsplit=1)[0].upper()}: {failure.args[0]}"] += 1

    def end(self) -> None:
        """The connections are closed."""
        if self._open is not None:
            self._finish(commit=False)
        with contextlib.suppress(apsw.Error):
            self.plain.execute("ROLLBACK")

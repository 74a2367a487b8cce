"""What ``spgrepl exec`` has to do: statements as steps, transactions as one each."""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path

import attrs

from spgrepl.catalogue.statements import CatalogChange, ControlSyntaxError, ServerStatement, parse_control
from spgrepl.cli.parts.named_files import require_sql
from spgrepl.errors import StatementFailed, UsageError
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.primary.parts.requests import Request
from spgrepl.primary.parts.statements import PLAIN_STARTS, only_reads, prepare

_ONLY_INSIDE = frozenset(StatementKind) - {StatementKind.PLAIN, StatementKind.BEGIN, StatementKind.CONTROL}
_PRAGMA = re.compile(r"PRAGMA\b", re.IGNORECASE)

_PIECE = 256 * 1024
"""So many characters of a script are read at a time."""

# What these tell is known to the connection that wrote.
_OF_THE_WRITER = re.compile(r"\b(?:last_insert_rowid|changes|total_changes)\s*\(", re.IGNORECASE)


@attrs.frozen
class Step:
    """One thing to do.

    Attributes:
        number: The number of its first statement, from 1; of a transaction that of its BEGIN.
        sql: The statement; of a transaction its BEGIN.
        request: What to write; None for a statement that reads, and for a transaction that is not to be run.
        server: What to ask a server for, or to wait for; None for all other statements.
        refusal: Why it cannot be run; None where it can.
        dropped: How many statements a ROLLBACK took back; None where there was none.
        setting: A setting that holds for the rest of this run, and whether it is on; None for others.
    """

    number: int
    sql: str
    request: Request | None = None
    server: ServerStatement | None = None
    refusal: str | None = None
    dropped: int | None = None
    setting: tuple[str, bool] | None = None


class Steps:
    """Steps, each of which is made when it is wanted; those ahead can be looked at before.

    Args:
        steps: The steps.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._rest = iter(steps)
        self._seen: deque[Step] = deque()

    def __iter__(self) -> Iterator[Step]:
        """Take the steps, one after the other."""
        while True:
            if not self._seen:
                self._seen.extend(itertools.islice(self._rest, 1))
            if not self._seen:
                return
            yield self._seen.popleft()

    def put_first(self, step: Step) -> None:
        """Take a step before all others."""
        self._seen.appendleft(step)

    def ahead(self) -> Iterator[Step]:
        """Look at the steps that are to come, and take none; nothing may be taken meanwhile."""
        yield from tuple(self._seen)
        for step in self._rest:
            self._seen.append(step)
            yield step

    def __bool__(self) -> bool:
        """Whether any is to come."""
        return next(self.ahead(), None) is not None


def script_pieces(path: Path) -> Iterator[str]:
    """Read a script a part at a time; ``-`` is standard input.

    Raises:
        UsageError: It cannot be one, or standard input is closed.
        OSError: It cannot be read.
    """
    # Undecodable bytes stay, as surrogates: the statement that holds them is refused by its number.
    if str(path) == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed: give the SQL as an argument, or a file with -f")
        return _pieces_of_input(TextIOWrapper(sys.stdin.buffer, "utf-8-sig", "surrogateescape", newline=""))
    require_sql(path)
    return _pieces_of(path)


def _pieces_of(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        while piece := file.read(_PIECE):
            yield piece


def _pieces_of_input(file: TextIOWrapper) -> Iterator[str]:
    try:
        while piece := file.read(_PIECE):
            yield piece
    finally:
        # Standard input is not ours to close; it may have been closed by others.
        with contextlib.suppress(ValueError):
            file.detach()


def plan(statements: Iterable[str]) -> Iterator[Step]:
    """Turn statements into steps: transactions into one each, all others as they are.

    Args:
        statements: Single statements.
    """
    begin: tuple[int, str] | None = None
    inside: list[str] = []
    written = False
    for number, sql in enumerate(statements, 1):
        if begin is not None and sql[:7] in PLAIN_STARTS:
            inside.append(sql)
            continue
        kind = statement_kind(sql.encode("utf-8", "surrogateescape"))
        if begin is None:
            if kind is StatementKind.BEGIN:
                begin, inside = (number, sql), []
            elif kind in _ONLY_INSIDE:
                yield Step(number, sql, refusal="no transaction is open: write BEGIN before it")
            elif kind is StatementKind.CONTROL:
                yield _plan_control(number, sql)
            elif (setting := _setting(sql)) is not None:
                yield Step(number, sql, setting=setting)
            elif only_reads(sql) and not (written and _OF_THE_WRITER.search(sql)):
                yield Step(number, sql)
            else:
                written = True
                yield Step(number, sql, Request((sql,)))
        elif kind is StatementKind.COMMIT:
            # An empty transaction does nothing, and nothing is written for it.
            if inside:
                written = True
                yield Step(*begin, Request(tuple(inside), transaction=True))
            begin = None
        elif kind is StatementKind.ROLLBACK:
            yield Step(*begin, dropped=len(inside))
            begin = None
        else:
            inside.append(sql)
    if begin is not None:
        yield Step(*begin, refusal="the transaction is never ended: nothing of it was run; add COMMIT")


def _plan_control(number: int, sql: str) -> Step:
    try:
        statement = parse_control(sql)
    except ControlSyntaxError as error:
        return Step(number, sql, refusal=str(error))
    if isinstance(statement, CatalogChange):
        return Step(number, sql, Request((sql,)))
    return Step(number, sql, server=statement if isinstance(statement, ServerStatement) else None)


def _setting(sql: str) -> tuple[str, bool] | None:
    """The setting that a PRAGMA changes. As in the sqlite3 program, and as its dumps mean it, it does not last."""
    if not _PRAGMA.match(sql):
        return None
    try:
        return prepare(sql, len(sql) * 4, in_transaction=False).setting
    except StatementFailed:
        return None

"""``spgrepl exec``: run SQL on a primary from the command line."""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from spgrepl.errors import SpgReplError, StatementFailed
from spgrepl.files import DatabasePaths
from spgrepl.primary.reader import DatabaseReader
from spgrepl.primary.session import QueryResult, Request
from spgrepl.primary.writer import Answer, DatabaseWriter, Written
from spgrepl.sqltext import SqlValue, main_verb, significant_tokens, split_statements, tokenize
from spgrepl.wal.transactions import StatementKind, statement_kind

_GROUP = 1000
_GROUP_SIZE = 4 * 1024 * 1024
_WIDEST = 60
_SHOWN_SQL = 200
_READING = frozenset({"SELECT", "VALUES", "EXPLAIN", "PRAGMA"})

# How the dumps of the sqlite3 program begin. It asks for what holds on a primary anyway.
_ALREADY_SO = re.compile(r"PRAGMA\s+foreign_keys\s*=\s*(?:OFF|0|NO|FALSE)", re.IGNORECASE)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl exec``."""
    parser.description = (
        "Run SQL on a primary's database: what it changes is applied, logged and durable before this ends. "
        "Statements come from the arguments, a file or standard input; BEGIN … COMMIT makes a transaction. "
        "Exit code 65: a statement failed; those before it stay."
    )
    parser.add_argument("--db", required=True, type=Path, metavar="FILE", help="the database; made if missing")
    parser.add_argument(
        "--wal", type=Path, metavar="FILE", help="its log (default: the database's name with .wal)"
    )
    parser.add_argument(
        "-f", "--file", type=Path, metavar="FILE", help="read SQL from a file, - for standard input"
    )
    parser.add_argument("sql", nargs="*", metavar="SQL", help="statements; without any, standard input is read")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl exec``."""
    texts = list(arguments.sql)
    if arguments.file is not None:
        texts.append(_read(arguments.file))
    elif not texts:
        texts.append(_read(Path("-")))
    steps = list(plan([statement for text in texts for statement in split_statements(text)]))
    if steps and arguments.db.exists() and not any(step.request for step in steps):
        # Reading needs no lock: a server may be writing meanwhile.
        return _Run(arguments.db, None).all(steps)
    writer = DatabaseWriter(DatabasePaths.of(arguments.db, arguments.wal))
    writer.open()
    try:
        if not steps:
            print(f"position {writer.position}")
        return _Run(arguments.db, writer).all(steps)
    finally:
        writer.close()


def _read(path: Path) -> str:
    # Undecodable bytes stay, as surrogates: the statement that holds them is refused by its number.
    if str(path) == "-":
        return sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape")
    return path.read_text("utf-8-sig", "surrogateescape")


# -- what to do -----------------------------------------------------------------------------------------------


@attrs.frozen
class Step:
    """One thing to do.

    Attributes:
        number: The number of its first statement, from 1; of a transaction that of its BEGIN.
        sql: The statement; of a transaction its BEGIN.
        request: What to write; None for a statement that reads, and for a transaction that is not to be run.
        refusal: Why it cannot be run; None where it can.
        dropped: How many statements a ROLLBACK took back; None where there was none.
    """

    number: int
    sql: str
    request: Request | None = None
    refusal: str | None = None
    dropped: int | None = None


def plan(statements: Sequence[str]) -> Iterator[Step]:
    """Turn statements into steps: transactions into one each, all others as they are.

    Args:
        statements: Single statements.
    """
    begin: tuple[int, str] | None = None
    inside: list[str] = []
    for number, sql in enumerate(statements, 1):
        kind = statement_kind(sql.encode("utf-8", "surrogateescape"))
        if begin is None:
            if kind is StatementKind.BEGIN:
                begin, inside = (number, sql), []
            elif kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
                yield Step(number, sql, refusal="no transaction is open: write BEGIN before it")
            elif _ALREADY_SO.fullmatch(sql):
                continue
            elif _only_reads(sql):
                yield Step(number, sql)
            else:
                yield Step(number, sql, Request((sql,)))
        elif kind is StatementKind.COMMIT:
            # An empty transaction does nothing, and nothing is written for it.
            if inside:
                yield Step(*begin, Request(tuple(inside), transaction=True))
            begin = None
        elif kind is StatementKind.ROLLBACK:
            yield Step(*begin, dropped=len(inside))
            begin = None
        else:
            inside.append(sql)
    if begin is not None:
        yield Step(*begin, refusal="the transaction is never ended: nothing of it was run; add COMMIT")


def _only_reads(sql: str) -> bool:
    first = next(tokenize(sql)).upper
    return first in _READING or (first == "WITH" and main_verb(significant_tokens(sql)) in _READING)


# -- doing it -------------------------------------------------------------------------------------------------


class _Failed(Exception):
    """A step failed, and was reported; carries the exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class _Run:
    """Runs steps; writes are gathered so that many share one fsync."""

    def __init__(self, database: Path, writer: DatabaseWriter | None) -> None:
        self._database = database
        self._writer = writer
        self._reader: DatabaseReader | None = None
        self._gathered: list[tuple[Step, Request]] = []
        self._size = 0
        self._position: int | None = None

    def all(self, steps: Iterable[Step]) -> int:
        try:
            for step in steps:
                self._take(step)
            self._write()
        except _Failed as failed:
            self._tell_position()
            return failed.exit_code
        finally:
            if self._reader is not None:
                self._reader.close()
        self._tell_position()
        return 0

    def _tell_position(self) -> None:
        if self._position is not None:
            print(f"position {self._position}")

    def _take(self, step: Step) -> None:
        if step.request is not None:
            self._gathered.append((step, step.request))
            self._size += step.request.size
            if len(self._gathered) >= _GROUP or self._size >= _GROUP_SIZE:
                self._write()
            return
        self._write()
        if step.refusal is not None:
            _report(step, StatementFailed(step.refusal, step.sql))
        elif step.dropped is not None:
            print(f"rolled back: {_count(step.dropped, 'statement')} not run")
        else:
            self._read(step)

    def _read(self, step: Step) -> None:
        if self._reader is None:
            self._reader = DatabaseReader(self._database)
        try:
            # Being asked whether to go on lets Ctrl-C through to a query that takes long.
            result = self._reader.query(step.sql, given_up=lambda: False)
        except StatementFailed as error:
            _report(step, error)
        else:
            print_table(result)

    def _write(self) -> None:
        """Run what has gathered, and answer it."""
        gathered, self._gathered, self._size = self._gathered, [], 0
        if not gathered or self._writer is None:
            return
        answers = self._writer.run([request for _, request in gathered], stop_at_failure=True)
        for (step, _), answer in zip(gathered, answers, strict=False):
            self._tell(step, answer)

    def _tell(self, step: Step, answer: Answer) -> None:
        if not isinstance(answer, Written):
            _report(step, answer)
            return
        self._position = answer.position
        for result in answer.results:
            print_table(result)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} was" if number == 1 else f"{number} {noun}s were"


def _report(step: Step, error: SpgReplError) -> None:
    """Name a statement that failed, its text and the reason.

    Raises:
        _Failed: Always.
    """
    number, sql = step.number, step.sql
    if isinstance(error, StatementFailed):
        sql = error.sql
        if step.request is not None and step.request.transaction:
            number += error.number
    shown = " ".join(sql.split())
    if len(shown) > _SHOWN_SQL:
        shown = shown[:_SHOWN_SQL] + "…"
    sys.stdout.flush()
    print(f"spgrepl: statement {number} failed: {error}\n  {_printable(shown)}", file=sys.stderr)
    if step.request is not None and step.request.transaction:
        print("Nothing of its transaction was run.", file=sys.stderr)
    raise _Failed(error.exit_code) from error


# -- tables ---------------------------------------------------------------------------------------------------


def print_table(result: QueryResult) -> None:
    """Print rows as a table: aligned, one line a row, long values cut with an ellipsis."""
    if not result.columns:
        return
    lines = [[_shown(value) for value in row] for row in result.rows]
    names = [_cut(_printable(name)) for name in result.columns]
    numbers = [
        bool(result.rows) and all(isinstance(row[at], int | float | None) for row in result.rows)
        for at in range(len(names))
    ]
    widths = [max([_width(name), *(_width(line[at]) for line in lines)]) for at, name in enumerate(names)]
    _print_line(names, widths, numbers)
    print("  ".join("-" * width for width in widths))
    for line in lines:
        _print_line(line, widths, numbers)
    print(f"({len(lines)} row{'' if len(lines) == 1 else 's'})")


def _print_line(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> None:
    print("  ".join(_padded(*cell) for cell in zip(cells, widths, numbers, strict=True)).rstrip())


def _shown(value: SqlValue) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = f"x'{value[:_WIDEST].hex()}'"
    else:
        text = _printable(value) if isinstance(value, str) else repr(value)
    return _cut(text)


def _printable(text: str) -> str:
    """Text without what would break a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else _ESCAPES.get(letter, f"\\u{{{ord(letter):x}}}") for letter in text
    )


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _cut(text: str) -> str:
    if _width(text) <= _WIDEST:
        return text
    kept, width = [], 0
    for letter in text:
        width += _width(letter)
        if width > _WIDEST - 1:
            break
        kept.append(letter)
    return "".join(kept) + "…"


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks

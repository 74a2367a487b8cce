"""``spgrepl exec``: run SQL on a primary from the command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import attrs

from spgrepl.cli import argument
from spgrepl.cli.rows import print_table, printable
from spgrepl.cli.servers import execute_at_server
from spgrepl.cli.stored_position import wait_for_position
from spgrepl.errors import LocalError, SpgReplError, StatementFailed, UsageError, WaitTimeout
from spgrepl.files import DatabasePaths
from spgrepl.primary.reader import DatabaseReader
from spgrepl.primary.session import Request
from spgrepl.primary.writer import Answer, DatabaseWriter, Written
from spgrepl.publications.statements import (
    CatalogChange,
    ControlSyntaxError,
    ServerStatement,
    WaitForPosition,
    parse_control,
)
from spgrepl.results import QueryResult
from spgrepl.sqltext import main_verb, significant_tokens, split_statements, tokenize
from spgrepl.status.client import StatusAddress
from spgrepl.wal.transactions import StatementKind, statement_kind

_GROUP = 1000
_GROUP_SIZE = 4 * 1024 * 1024
_SHOWN_SQL = 200
_READING = frozenset({"SELECT", "VALUES", "EXPLAIN", "PRAGMA"})

# How the dumps of the sqlite3 program begin. It asks for what holds on a primary anyway.
_ALREADY_SO = re.compile(r"PRAGMA\s+foreign_keys\s*=\s*(?:OFF|0|NO|FALSE)", re.IGNORECASE)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl exec``."""
    parser.description = (
        "Run SQL on a primary's database: what it changes is applied, logged and durable before this ends. "
        "Statements come from the arguments, a file or standard input; BEGIN … COMMIT makes a transaction. "
        "SELECT, SHOW and WAIT FOR WAL POSITION work on a follower's database too, and beside a server. SHOW and "
        "SET effective_wal_level reach the master that runs beside the log. "
        "Exit code 65: a statement failed; those before it stay. 69: no server runs there. 75: a position was not "
        "reached in time, or another process writes."
    )
    parser.add_argument("--db", type=Path, metavar="FILE", help="the database; made if missing")
    parser.add_argument(
        "--wal", type=Path, metavar="FILE", help="its log (default: the database's name with .wal)"
    )
    parser.add_argument(
        "--http",
        type=argument(StatusAddress.parse),
        metavar="URL",
        help="the server that SHOW and SET effective_wal_level mean: http://HOST:PORT on this machine or "
        "unix:/path (default: the master of --db)",
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
    if arguments.db is None:
        if arguments.http is None or not steps or any(step.server is None for step in steps):
            raise UsageError("--db is missing: only what --http can answer does without a database")
        return _Run(None, arguments.http).all(steps)
    running = _Run(DatabasePaths.of(arguments.db, arguments.wal), arguments.http)
    writes = any(step.request for step in steps)
    # Reading needs no lock: a server may be writing meanwhile. Where nothing is there, an empty primary is made.
    if not steps or writes or (not arguments.db.exists() and any(_only_reads(step.sql) for step in steps)):
        running.open_writer()
    return running.all(steps)


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
        server: What to ask a server for, or to wait for; None for all other statements.
        refusal: Why it cannot be run; None where it can.
        dropped: How many statements a ROLLBACK took back; None where there was none.
    """

    number: int
    sql: str
    request: Request | None = None
    server: ServerStatement | None = None
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
            elif kind is StatementKind.CONTROL:
                yield _plan_control(number, sql)
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


def _plan_control(number: int, sql: str) -> Step:
    try:
        statement = parse_control(sql)
    except ControlSyntaxError as error:
        return Step(number, sql, refusal=str(error))
    if isinstance(statement, CatalogChange):
        return Step(number, sql, Request((sql,)))
    return Step(number, sql, server=statement if isinstance(statement, ServerStatement) else None)


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
    """Runs steps; writes are gathered so that many share one fsync.

    Args:
        paths: The database and its log; None where only a server is asked.
        server: Where a server answers; None for the control socket beside the log.
    """

    def __init__(self, paths: DatabasePaths | None, server: StatusAddress | None) -> None:
        self._paths = paths
        self._server = server
        self._writer: DatabaseWriter | None = None
        self._reader: DatabaseReader | None = None
        self._gathered: list[tuple[Step, Request]] = []
        self._size = 0
        self._position: int | None = None

    def open_writer(self) -> DatabaseWriter:
        """Become the database's writer, if that is not so yet."""
        if self._writer is None:
            writer = DatabaseWriter(self._database())
            writer.open()
            self._writer = writer
        return self._writer

    def _database(self) -> DatabasePaths:
        assert self._paths is not None  # without a database nothing is run but what a server is asked for
        return self._paths

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def all(self, steps: Sequence[Step]) -> int:
        """Run the steps in order, up to one that fails, and close everything; return the exit code."""
        code = 0
        try:
            for step in steps:
                self._take(step)
            self._write()
            if not steps and self._writer is not None:
                self._position = self._writer.position
        except _Failed as failed:
            code = failed.exit_code
        finally:
            if self._reader is not None:
                self._reader.close()
            self._close_writer()
        if self._position is not None:
            print(f"position {self._position}")
        return code

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
        elif isinstance(step.server, WaitForPosition):
            self._wait(step, step.server)
        elif step.server is not None:
            print_table(self._ask(step))
        else:
            self._read(step)

    def _read(self, step: Step) -> None:
        try:
            if self._reader is None:
                database = self._database().database
                database.stat()  # says better than SQLite that there is none
                self._reader = DatabaseReader(database)
            # Being asked whether to go on lets Ctrl-C through to a query that takes long.
            result = self._reader.query(step.sql, given_up=lambda: False)
        except LocalError as error:
            _report(step, error)
        else:
            print_table(result)

    def _wait(self, step: Step, statement: WaitForPosition) -> None:
        """Print 1 when the position is reached; 0 ends the run, for what follows would see too little."""
        try:
            if self._paths is None:
                ((reached,),) = self._ask(step).rows
            else:
                # Whoever is to write what is waited for needs the lock.
                self._close_writer()
                reached = wait_for_position(self._paths, statement)
        except LocalError as error:
            _report(step, error)
        else:
            print(int(bool(reached)))
            if not reached:
                _report(step, WaitTimeout(f"position {statement.position} was not reached in time"))

    def _ask(self, step: Step) -> QueryResult:
        try:
            return execute_at_server(step.sql, self._server, self._paths)
        except SpgReplError as error:
            _report(step, error)

    def _write(self) -> None:
        """Run what has gathered, and answer it."""
        gathered, self._gathered, self._size = self._gathered, [], 0
        if not gathered:
            return
        try:
            writer = self.open_writer()
        except SpgReplError as error:
            _report(gathered[0][0], error)
        answers = writer.run([request for _, request in gathered], stop_at_failure=True)
        for (step, _), answer in zip(gathered, answers, strict=False):
            self._tell(step, answer)

    def _tell(self, step: Step, answer: Answer) -> None:
        if not isinstance(answer, Written):
            _report(step, answer)
        self._position = answer.position
        for result in answer.results:
            print_table(result)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} was" if number == 1 else f"{number} {noun}s were"


def _report(step: Step, error: SpgReplError) -> NoReturn:
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
    print(f"spgrepl: statement {number} failed: {error}\n  {printable(shown)}", file=sys.stderr)
    if step.request is not None and step.request.transaction:
        print("Nothing of its transaction was run.", file=sys.stderr)
    raise _Failed(error.exit_code) from error

"""``spgrepl exec``: run SQL on a primary from the command line."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import attrs

from spgrepl.access.options import read_token
from spgrepl.base.results import QueryResult
from spgrepl.catalogue.statements import (
    WaitForPosition,
)
from spgrepl.cli import argument
from spgrepl.cli.parts.exec_plan import Step, Steps, plan, script_pieces
from spgrepl.cli.parts.exec_report import (
    StepFailed,
    report,
    report_all,
    say_logged,
    say_not_run,
    say_source,
    say_warning,
    shared_fate,
)
from spgrepl.cli.parts.named_files import require_database
from spgrepl.cli.parts.progress import Progress
from spgrepl.cli.parts.repair import repair_files
from spgrepl.cli.parts.rows import print_table
from spgrepl.cli.parts.servers import execute_at_server
from spgrepl.cli.parts.stored_position import wait_for_position
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import (
    DatabaseMissing,
    LocalError,
    LoggedNotApplied,
    SpgReplError,
    StatementFailed,
    UsageError,
    WaitTimeout,
)
from spgrepl.pairs.copied_by import refuse_copy_of_another_engine
from spgrepl.primary.parts.requests import Answer, Request, Written
from spgrepl.primary.reading.reader import DatabaseReader
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.server.status.client import StatusAddress
from spgrepl.text.quantities import number_of
from spgrepl.text.sqltext import split_pieces, tokenize

_GROUP = 1000
_GROUP_SIZE = 4 * 1024 * 1024
_SHOWN_SQL = 200


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
    parser.add_argument(
        "--db", type=Path, metavar="FILE", help="the database; CREATE makes one that is missing, and --create does"
    )
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
        "--http-token-file",
        type=argument(read_token),
        metavar="FILE",
        help="a file with the token that the server of --http wants over TCP",
    )
    parser.add_argument(
        "-f", "--file", type=Path, metavar="FILE", help="read SQL from a file, - for standard input"
    )
    make = parser.add_mutually_exclusive_group()
    make.add_argument("--create", action="store_true", help="make the database where it is missing")
    make.add_argument(
        "--new-log",
        action="store_true",
        help="where the log is lost, of a primary or a follower: go on with all rows and a new log; what has the "
        "log's name now is kept, and followers take a fresh snapshot",
    )
    make.add_argument(
        "--rebuild", action="store_true", help="where the database is lost: make it from its log alone"
    )
    parser.add_argument(
        "--foreign-keys",
        choices=("on", "off"),
        help="keep foreign keys from now on, or no longer; it is stored in the database. PRAGMA foreign_keys "
        "among the statements holds for this run only",
    )
    parser.add_argument("sql", nargs="*", metavar="SQL", help="statements; without any, standard input is read")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl exec``."""
    code = _run(arguments)
    if code and arguments.file is not None:
        say_source(arguments.file, len(arguments.sql))
    return code


def _run(arguments: argparse.Namespace) -> int:
    texts = [iter([text]) for text in arguments.sql]
    makes = arguments.create or arguments.new_log or arguments.rebuild
    if arguments.file is not None:
        texts.append(script_pieces(arguments.file))
    elif not texts and not makes and arguments.foreign_keys is None:
        texts.append(script_pieces(Path("-")))
    if arguments.http_token_file is not None:
        if arguments.http is None:
            raise UsageError("--http-token-file is for the server of --http, which is not named")
        arguments.http = attrs.evolve(arguments.http, token=arguments.http_token_file)
    steps = Steps(plan(itertools.chain.from_iterable(map(split_pieces, texts))))
    if arguments.db is None:
        if arguments.http is None or not steps or any(step.server is None for step in steps.ahead()):
            raise UsageError("--db is missing: only what --http can answer does without a database")
        return _Run(None, arguments.http).all(steps)
    paths = DatabasePaths.of(arguments.db, arguments.wal)
    if not steps or any(step.server is None for step in steps.ahead()):
        refuse_copy_of_another_engine(paths)
    if not repair_files(arguments, paths) and not steps:
        return 0
    if not makes and not paths.database.exists() and _is_refused(steps):
        return _Run(paths, arguments.http).all(steps)
    if not makes and not paths.database.exists() and _needs_database(steps):
        # Beside a log its database is missing, not misspelt: who opens it says what to do.
        if not paths.wal.exists():
            raise DatabaseMissing(
                f"there is no database {paths.database}: name another with --db. CREATE makes one, and --create "
                "does"
            )
        makes = True
    running = _Run(paths, arguments.http)
    if arguments.foreign_keys is not None:
        sql = f"PRAGMA foreign_keys = {arguments.foreign_keys}"
        steps.put_first(Step(0, sql, Request((sql,))))
    # Reading needs no lock: a server may be writing meanwhile. Who writes later on takes it then.
    if not steps or makes or any(step.request for step in itertools.islice(steps.ahead(), _GROUP)):
        running.open_writer()
    return running.all(steps)


def _is_refused(steps: Steps) -> bool:
    """Whether the first step that needs a database is not run."""
    first = next((step for step in steps.ahead() if step.server is None), None)
    return first is not None and first.refusal is not None


def _needs_database(steps: Steps) -> bool:
    """Whether there must be a database for what is to be done: all but what begins by making something."""
    for step in steps.ahead():
        if step.server is not None or step.setting is not None:
            continue
        for sql in () if step.request is None else step.request.statements:
            first = next(tokenize(sql)).upper
            if first == "CREATE":
                return False
            if first != "DROP":
                return True
        if step.request is None:
            return True
    return all(step.server is None for step in itertools.islice(steps.ahead(), 1))


# -- doing it -------------------------------------------------------------------------------------------------


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
        self._settings: dict[str, bool] = {}
        self._progress = Progress()

    def open_writer(self) -> DatabaseWriter:
        """Become the database's writer, if that is not so yet."""
        if self._writer is None:
            writer = DatabaseWriter(self._database())
            writer.open()
            writer.control.settings = self._settings
            if self._progress.wanted:
                writer.control.watcher = self._progress
            self._writer = writer
        return self._writer

    def _database(self) -> DatabasePaths:
        assert self._paths is not None  # without a database nothing is run but what a server is asked for
        return self._paths

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            warning = writer.warning
            writer.close()
            if warning is not None:
                say_warning(warning)

    def all(self, steps: Steps) -> int:
        """Run the steps in order, up to one that fails, and close everything; return the exit code."""
        code = 0
        nothing = not steps
        taken: list[Step] = []
        try:
            for step in steps:
                if not self._gathered:
                    taken.clear()
                taken.append(step)
                self._take(step)
            self._write()
            if nothing and self._writer is not None:
                self._position = self._writer.position
        except StepFailed as failed:
            code = failed.exit_code
            later = (step for step in itertools.chain(taken, steps.ahead()) if step.number > failed.last.number)
            say_not_run(list(itertools.islice(later, 2)))
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
        if step.setting is not None:
            name, on = step.setting
            self._settings[name] = on
        elif step.refusal is not None:
            report(step, StatementFailed(step.refusal, step.sql))
        elif step.dropped is not None:
            print(f"rolled back: {number_of(step.dropped, 'statement was', 'statements were')} not run")
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
                require_database(database)  # says better than SQLite what is there
                self._reader = DatabaseReader(database)
            # Being asked whether to go on lets Ctrl-C through to a query that takes long.
            result = self._reader.query(step.sql, given_up=lambda: False)
        except LocalError as error:
            report(step, error)
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
            report(step, error)
        else:
            print(int(bool(reached)))
            if not reached:
                report(step, WaitTimeout(f"position {statement.position} was not reached in time"))

    def _ask(self, step: Step) -> QueryResult:
        try:
            return execute_at_server(step.sql, self._server, self._paths)
        except SpgReplError as error:
            report(step, error)

    def _write(self) -> None:
        """Run what has gathered, and say of each what became of it."""
        gathered, self._gathered, self._size = self._gathered, [], 0
        if not gathered:
            return
        steps = [step for step, _ in gathered]
        try:
            writer = self.open_writer()
        except SpgReplError as error:
            report(steps[0], error)
        answers = writer.run([request for _, request in gathered], stop_at_failure=True)
        self._progress.clear()
        fate = shared_fate(steps, answers)
        if fate is not None:
            report_all(steps, fate)
        logged: LoggedNotApplied | None = None
        for step, answer in zip(steps, answers, strict=False):
            if isinstance(answer, LoggedNotApplied):
                logged = answer
                self._position = answer.position
                say_logged(step, answer)
            else:
                self._show_answer(step, answer)
        if logged is not None:
            raise StepFailed(logged.exit_code, steps[-1]) from logged

    def _show_answer(self, step: Step, answer: Answer) -> None:
        if not isinstance(answer, Written):
            report(step, answer)
        self._position = answer.position
        for result in answer.results:
            print_table(result)

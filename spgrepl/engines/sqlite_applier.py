"""Statements of a log, applied to a SQLite database inside a transaction that somebody else ends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apsw

from spgrepl.dialect.schema_names import with_plain_names, with_plain_tables
from spgrepl.dialect.translate import (
    MYSQL,
    POSTGRESQL,
    TranslationFailed,
    ValueOfThisMachine,
    refuse_dependent,
    to_sqlite,
)
from spgrepl.disk.limits import DEFAULT_LIMITS
from spgrepl.engines.own_rows import OwnRows
from spgrepl.engines.row_applier import RowApplier, RowConflict
from spgrepl.errors import EngineFailed, StatementRefused
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.spgsql.language.lexing import Dialect, head_words
from spgrepl.spgsql.language.stops import NotUnderstood, StatementStopped, TypeUnknown
from spgrepl.spgsql.replay import Nondeterministic, SpgReplay
from spgrepl.sqlite.duplicates import DuplicateObject, find_duplicate
from spgrepl.sqlite.log_guard import LogGuard
from spgrepl.sqlite.own_names import ForbiddenStatement
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.sqlite.script import execute_piece, joined_script
from spgrepl.sqlite.session import STORAGE_FAULTS, result_code
from spgrepl.sqlite.time_limit import TimeLimit
from spgrepl.text.sqltext import split_statements

_ROW_VERBS = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"})
# What means something else, or nothing, where types are not known.
_OF_TYPES = re.compile(r"::|\\|\$|\b(?:cast|array|interval|nextval|e')", re.IGNORECASE)
_INNER_SAVEPOINT = "spgrepl_inner"
_REFUSALS = (
    apsw.Error,
    ValueError,
    TranslationFailed,
    ForbiddenStatement,
    DuplicateObject,
    RowConflict,
    StatementStopped,
)
# What else there is to know of a row log: triggers and foreign keys have left their rows in it.
_OFF_FOR_ROWS = (
    apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER,
    apsw.SQLITE_DBCONFIG_ENABLE_FKEY,
    apsw.SQLITE_DBCONFIG_DQS_DML,
)


class StatementApplier:
    """Applies statements on one connection. The transaction begins with the first of them.

    Args:
        connection: A connection without a transaction of its own, prepared by `prepare_session`.
        database: Its file, for errors.
        control: Takes a statement of PROTOCOL section 5 that stands among others in one record.
        tolerate: Told of each object of the schema that is there already and is not made again; None where such
            a statement is refused as any other.
        seconds: How long a statement may run.

    Attributes:
        connection: The connection.
        rows: Applies rows; None while the log holds statements.
        spg: Runs statements of an SPG server; None where the log is not one's.
        own_rows: Judges what an SPG snapshot may hold already.
        stopped: Whether `interrupt` was called.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        database: Path,
        control: Callable[[apsw.Connection, bytes], None],
        tolerate: Callable[[DuplicateObject], None] | None = None,
        seconds: float = DEFAULT_LIMITS.statement_seconds,
    ) -> None:
        self.connection = connection
        self.rows: RowApplier | None = None
        self.spg: SpgReplay | None = None
        self.own_rows = OwnRows()
        self.stopped = False
        self._certain = True
        self._database = database
        self._control = control
        self._tolerate = tolerate
        self._guard = LogGuard(connection)
        self._untouched = True
        self._time = TimeLimit(connection, seconds)

    def take_rows(self, applier: RowApplier | None = None, fire_triggers: bool = False) -> None:
        """From here on the log holds rows: canonical texts stand for one row each, and no trigger fires.

        Args:
            applier: What applies them; None for a `RowApplier`.
            fire_triggers: Whether triggers fire all the same.
        """
        if self.rows is None:
            for switch in _OFF_FOR_ROWS:
                self.connection.config(switch, 0)
            self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, int(fire_triggers))
            self.rows = applier or RowApplier(self.connection)

    def take_statements(self, fire_triggers: bool = True) -> None:
        """What `take_rows` did is undone: the mark by which rows begin was rolled back, or the log is another one.

        Args:
            fire_triggers: Whether triggers fire.
        """
        if self.rows is not None:
            self.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, int(fire_triggers))
            self.connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 1)
            self.rows = None

    def take_spg(self, policy: Nondeterministic, certain: bool = True) -> None:
        """From here on the log is an SPG server's: its statements are run by what SPG's types say.

        Args:
            policy: What to do about values that every replica computes for itself.
            certain: Whether it is known to be one's. If not, only rows of tables whose columns are declared with
                SPG's types are changed by them, and what else is run must not depend on this machine.
        """
        self._certain = certain
        self.spg = SpgReplay(self.connection, policy, self._run_step)

    def interrupt(self) -> None:
        """End what runs, and refuse what comes, with `EngineFailed`. May be called in any thread."""
        self.stopped = True
        with contextlib.suppress(apsw.ConnectionClosedError):
            self.connection.interrupt()

    def begin(self) -> None:
        """The next statement begins a transaction."""
        self._untouched = True

    def ready(self) -> apsw.Connection:
        """The connection, with the transaction really begun.

        Raises:
            EngineFailed: Another program holds the lock, or the disk refuses.
        """
        if self._untouched:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except apsw.Error as error:
                raise EngineFailed(f"{self._database} cannot be written: {error}") from error
            self._untouched = False
        return self.connection

    def rollback(self) -> None:
        """Undo everything since `begin`; nothing happens when no transaction is open."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        if self.spg is not None:
            self.spg.undone()

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType]) -> None:
        """Apply the statements of some records, in order.

        Plain statements that open a transaction go to SQLite as one script, which spares a call for each. The
        script is only tried where no statement can run into the next one; where it fails, it is undone and the
        statements are taken singly, so that the one at fault is found.

        Args:
            statements: SQL in UTF-8; an item may hold several statements.
            types: The record types of those that are not one statement in SPG's own dialect, by index.

        Raises:
            StatementRefused: A statement failed; its index says which. The transaction must be rolled back.
            EngineFailed: Nothing can be stored at present. The transaction must be rolled back.
        """
        self._refuse_when_stopped()
        if self.rows is None and self.spg is None and self._untouched and not types and len(statements) > 1:
            script = joined_script(with_plain_tables(statements))
            if script is not None and ROWS_FROM_HERE not in statements and self._run_script(script):
                return
        self.ready()
        at = 0
        while at < len(statements):
            at += self._execute_at(statements, at, types)

    def _execute_at(self, statements: Sequence[bytes], at: int, types: Mapping[int, RecordType]) -> int:
        """Apply the statement at an index, and those after it that go with it; returns how many."""
        statement = statements[at]
        kind = types.get(at, RecordType.SQL)
        self._time.begin()
        try:
            if self.rows is not None and kind is RecordType.SQL:
                self._refuse_when_stopped()
                run = self.rows.apply_run(statements, at) if not types and _may_be_run(statements, at) else 0
                if run or self.rows.apply(statement):
                    return run or 1
            if self.spg is not None:
                # A client of an SPG server may write whatever it likes, this package's own marks as well.
                self._execute_spg(self.spg, statement, kind, at)
            elif statement == ROWS_FROM_HERE:
                self.take_rows()
            else:
                self._execute_one(statement, kind)
        except StatementRefused as refused:
            raise StatementRefused(at, statement, refused.reason) from refused
        except RowConflict as conflict:
            raise StatementRefused(at, statement, str(conflict), conflict.kind) from conflict
        except _REFUSALS as error:
            if self._time.passed:
                raise StatementRefused(at, statement, str(self._time)) from error
            raise_if_storage_failed(error, self._database)
            raise StatementRefused(at, statement, str(error)) from error
        return 1

    def _refuse_when_stopped(self) -> None:
        if self.stopped:
            raise EngineFailed(f"{self._database} is being closed: what was not committed comes again")

    def _run_script(self, script: str) -> bool:
        self.ready()
        self._time.begin()
        try:
            with self._guard.guarding(script):
                self.connection.execute(script, can_cache=False)
        except (apsw.Error, ValueError, ForbiddenStatement) as error:
            self.rollback()
            self._untouched = True
            if not self._time.passed:
                raise_if_storage_failed(error, self._database)
            return False
        return True

    # -- records of an SPG server -----------------------------------------------------------------------------

    def _execute_spg(self, spg: SpgReplay, statement: bytes, kind: RecordType, at: int) -> None:
        self._refuse_when_stopped()
        text = statement.decode("utf-8")
        if not self._certain and not self._may_be_spg(spg, text, kind, at):
            refuse_dependent(_pieces(text))
            self._execute_one(statement, kind)
            return
        if not self._certain:
            return
        dialect = Dialect.MYSQL if kind is RecordType.MYSQL else Dialect.POSTGRESQL
        for piece in spg.pieces(text, dialect):
            word = statement_kind(piece.encode())
            if word in (StatementKind.SAVEPOINT, StatementKind.RELEASE, StatementKind.ROLLBACK_TO):
                spg.transaction_word(piece)
            elif word is StatementKind.PLAIN:
                try:
                    spg.execute(piece, at, dialect)
                except (apsw.SQLError, StatementStopped) as error:
                    if not self.own_rows.holds(error):
                        raise
            else:
                execute_piece(self.connection, piece, self._control, self._run_text)

    @staticmethod
    def _may_be_spg(spg: SpgReplay, text: str, kind: RecordType, at: int) -> bool:
        """Run a statement of what may be an SPG server's log; whether that was done."""
        dialect = Dialect.MYSQL if kind is RecordType.MYSQL else Dialect.POSTGRESQL
        if (head_words(text, dialect) or [""])[0] not in _ROW_VERBS or len(spg.pieces(text, dialect)) != 1:
            return False
        try:
            spg.execute(text, at, dialect)
        except TypeUnknown:
            return False
        except NotUnderstood:
            if _OF_TYPES.search(text) is not None:
                raise
            return False
        return True

    def _run_step(self, text: str, values: Sequence[object]) -> list[tuple[object, ...]]:
        """Run what a statement of an SPG server comes to."""
        try:
            with self._guard.guarding(text):
                return self.connection.execute(text, values).fetchall()
        except apsw.ConstraintError as error:
            if not self.own_rows.holds(error):
                raise
            return []

    # -- one record -------------------------------------------------------------------------------------------

    def _execute_one(self, statement: bytes, kind: RecordType) -> None:
        text = statement.decode("utf-8")
        if kind is RecordType.MYSQL:
            # Never tried as it is: a backslash in a string would be accepted and mean something else.
            self._execute_all(to_sqlite(text, MYSQL))
            return
        try:
            self._execute_all(_pieces(text))
        except apsw.SQLError as error:
            self._execute_translated(text, error)

    def _execute_all(self, pieces: Sequence[str]) -> None:
        """Run the statements of one record: all or none, where there are several."""
        if len(pieces) == 1:
            self._execute_piece(pieces[0], alone=True)
            return
        connection = self.connection
        connection.execute(f"SAVEPOINT {_INNER_SAVEPOINT}")
        try:
            for piece in pieces:
                self._execute_piece(piece)
        except (*_REFUSALS, StatementRefused):
            if connection.in_transaction:
                connection.execute(f"ROLLBACK TO {_INNER_SAVEPOINT}")
                connection.execute(f"RELEASE {_INNER_SAVEPOINT}")
            raise
        connection.execute(f"RELEASE {_INNER_SAVEPOINT}")

    def _execute_piece(self, piece: str, alone: bool = False) -> None:
        try:
            if alone:
                self._run_text(piece)
            else:
                execute_piece(self.connection, piece, self._control, self._run_text)
        except apsw.SQLError:
            if self._tolerate is None:
                raise
            duplicate = find_duplicate(self.connection, piece)
            if duplicate is None:
                raise
            self._tolerate(duplicate)

    def _run_text(self, text: str) -> None:
        """Run a statement of the log as it stands."""
        with self._guard.guarding(text):
            for _ in self.connection.execute(text, can_cache=False):
                pass

    # -- what only PostgreSQL speaks --------------------------------------------------------------------------

    def _execute_translated(self, text: str, refusal: apsw.Error) -> None:
        """Try PostgreSQL's names for tables, and then the whole of its dialect, put into SQLite's words."""
        renamed = with_plain_names(text)
        if renamed is not None:
            pieces = _pieces(renamed)
            refuse_dependent(pieces)
            try:
                self._execute_all(pieces)
            except apsw.SQLError as error:
                text, refusal = renamed, error
            else:
                return
        self._execute_in_other_words(text, refusal)

    def _execute_in_other_words(self, text: str, refusal: apsw.Error) -> None:
        try:
            translated = to_sqlite(text, POSTGRESQL)
        except ValueOfThisMachine:
            raise
        except TranslationFailed:
            raise refusal from None
        if [piece.strip() for piece in translated] == [piece.strip() for piece in _pieces(text)]:
            raise refusal
        try:
            self._execute_all(translated)
        except apsw.Error as error:
            raise TranslationFailed(f"{refusal}; translated from PostgreSQL's dialect: {error}") from error


def _may_be_run(statements: Sequence[bytes], at: int) -> bool:
    """Whether INSERTs into one table may begin here: a quick look, which errs on the side of yes."""
    head = statements[at][:20]
    return head.startswith(b"INSERT") and at + 1 < len(statements) and statements[at + 1].startswith(head)


def _pieces(text: str) -> list[str]:
    return split_statements(text) if ";" in text else [text]


def raise_if_storage_failed(error: Exception, database: Path) -> None:
    """Tell a disk that refuses from a statement that is refused.

    Raises:
        EngineFailed: It was the disk, the memory or another program.
    """
    if result_code(error) in STORAGE_FAULTS:
        raise EngineFailed(f"{database} cannot be written: {error}") from error

"""Statements of a log, applied to a SQLite database inside a transaction that somebody else ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from spgrepl.engines.duplicates import DuplicateObject, find_duplicate
from spgrepl.engines.own_names import ForbiddenStatement, refuse_forbidden
from spgrepl.engines.schema_names import with_plain_names, with_plain_tables
from spgrepl.engines.sqlite_script import execute_piece, joined_script
from spgrepl.engines.sqlite_session import STORAGE_FAULTS
from spgrepl.engines.translate import (
    MYSQL,
    POSTGRESQL,
    TranslationFailed,
    ValueOfThisMachine,
    refuse_dependent,
    to_sqlite,
)
from spgrepl.errors import EngineFailed, StatementRefused
from spgrepl.sqltext import split_statements
from spgrepl.wal.records import RecordType

_INNER_SAVEPOINT = "spgrepl_inner"
_REFUSALS = (sqlite3.Error, sqlite3.Warning, ValueError, TranslationFailed, ForbiddenStatement, DuplicateObject)


class StatementApplier:
    """Applies statements on one connection. The transaction begins with the first of them.

    Args:
        connection: A connection without a transaction of its own, prepared by `prepare_session`.
        database: Its file, for errors.
        control: Takes a statement of PROTOCOL section 5 that stands among others in one record.
        tolerate: Told of each object of the schema that is there already and is not made again; None where such
            a statement is refused as any other.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        database: Path,
        control: Callable[[sqlite3.Connection, bytes], None],
        tolerate: Callable[[DuplicateObject], None] | None = None,
    ) -> None:
        self.connection = connection
        self._database = database
        self._control = control
        self._tolerate = tolerate
        self._untouched = True

    def begin(self) -> None:
        """The next statement begins a transaction."""
        self._untouched = True

    def ready(self) -> sqlite3.Connection:
        """The connection, with the transaction really begun.

        Raises:
            EngineFailed: Another program holds the lock, or the disk refuses.
        """
        if self._untouched:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise EngineFailed(f"{self._database} cannot be written: {error}") from error
            self._untouched = False
        return self.connection

    def rollback(self) -> None:
        """Undo everything since `begin`; nothing happens when no transaction is open."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

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
        if self._untouched and not types and len(statements) > 1:
            script = joined_script(with_plain_tables(statements))
            if script is not None and self._run_script(script):
                return
        self.ready()
        for index, statement in enumerate(statements):
            try:
                self._execute_one(statement, types.get(index, RecordType.SQL))
            except StatementRefused as refused:
                raise StatementRefused(index, statement, refused.reason) from refused
            except _REFUSALS as error:
                raise_if_storage_failed(error, self._database)
                raise StatementRefused(index, statement, str(error)) from error

    def _run_script(self, script: str) -> bool:
        try:
            self.connection.executescript(script)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            self.rollback()
            raise_if_storage_failed(error, self._database)
            return False
        self._untouched = False
        return True

    # -- one record -------------------------------------------------------------------------------------------

    def _execute_one(self, statement: bytes, kind: RecordType) -> None:
        text = statement.decode("utf-8")
        if kind is RecordType.MYSQL:
            # Never tried as it is: a backslash in a string would be accepted and mean something else.
            self._execute_all(to_sqlite(text, MYSQL))
            return
        try:
            self._execute_all(_pieces(text))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            self._execute_translated(text, error)

    def _execute_all(self, pieces: Sequence[str]) -> None:
        """Run the statements of one record: all or none, where there are several."""
        for piece in pieces:
            refuse_forbidden(piece)
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
                self.connection.execute(piece)
            else:
                execute_piece(self.connection, piece, self._control)
        except sqlite3.OperationalError as error:
            if self._tolerate is None or error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            duplicate = find_duplicate(self.connection, piece)
            if duplicate is None:
                raise
            self._tolerate(duplicate)

    # -- what only PostgreSQL speaks --------------------------------------------------------------------------

    def _execute_translated(self, text: str, refusal: sqlite3.Error) -> None:
        """Try PostgreSQL's names for tables, and then the whole of its dialect, put into SQLite's words."""
        renamed = with_plain_names(text)
        if renamed is not None:
            pieces = _pieces(renamed)
            refuse_dependent(pieces)
            try:
                self._execute_all(pieces)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                    raise
                text, refusal = renamed, error
            else:
                return
        self._execute_in_other_words(text, refusal)

    def _execute_in_other_words(self, text: str, refusal: sqlite3.Error) -> None:
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
        except sqlite3.Error as error:
            raise TranslationFailed(f"{refusal}; translated from PostgreSQL's dialect: {error}") from error


def _pieces(text: str) -> list[str]:
    return split_statements(text) if ";" in text else [text]


def raise_if_storage_failed(error: Exception, database: Path) -> None:
    """Tell a disk that refuses from a statement that is refused.

    Raises:
        EngineFailed: It was the disk, the memory or another program.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in STORAGE_FAULTS:
        raise EngineFailed(f"{database} cannot be written: {error}") from error

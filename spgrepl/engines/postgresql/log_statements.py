"""SQL of a log that is not a row: as it stands where the server understands it, else translated, else a stop."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import attrs

from spgrepl.disk.limits import DEFAULT_LIMITS, ran_too_long
from spgrepl.engines.postgresql import followed_tables
from spgrepl.engines.postgresql.approximating import RANDOM
from spgrepl.engines.postgresql.master_effects import (
    choices_of,
    judge_effects,
    judge_reading,
    refuse_acting,
    refuse_defaults,
    refuse_unless_plain,
)
from spgrepl.engines.postgresql.schema_changes import NotMade, SchemaChanges
from spgrepl.engines.postgresql.spg_log import SpgLog
from spgrepl.engines.postgresql.statement_meanings import (
    Meaning,
    Refused,
    changes_values,
    find_moment,
    meaning_of,
    pieces_of,
    plain_names,
    sets,
    tokens_of,
    zone_set,
)
from spgrepl.errors import StatementRefused
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.postgresql import driver
from spgrepl.postgresql.copying.translation import MYSQL, NotTranslated, to_postgresql
from spgrepl.postgresql.faults import Fault, judge, said
from spgrepl.postgresql.reading.ddl import (
    expressions_of,
    has_moments,
    in_transaction,
    query_of,
    replaced_view,
)
from spgrepl.postgresql.reading.joins import meets_several
from spgrepl.postgresql.reading.reader import StatementReader, depends_on_zone
from spgrepl.postgresql.spelling import respelled
from spgrepl.postgresql.tables import Table, TableBook
from spgrepl.postgresql.transactions import Transactor
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.text.sqltext import Token, significant_tokens, split_statements

_SAVEPOINT = "spgrepl_statement"
_HELD = "spgrepl_held"
_OBJECT = "spgrepl_object"
_NO_LIMIT = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
_KEYS_ACT = "SET LOCAL session_replication_role = origin"
_KEYS_REST = "SET LOCAL session_replication_role = replica"
_CANCELLED = "57014"
# A type or syntax that is unknown, a text that is not one of its type's, an expression of another type.
_NOT_TAKEN = frozenset({"42704", "42601", "22P02", "42804"})
# Constraints of statements before are checked at the COMMIT, and DDL of a table waits for no such check.
_PENDING = "55006"
_CHECK_NOW = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
_LONGEST_MS = 2**31 - 1
_OF_SAVEPOINTS = frozenset({StatementKind.SAVEPOINT, StatementKind.RELEASE, StatementKind.ROLLBACK_TO})
_OF_TRANSACTIONS = frozenset({StatementKind.BEGIN, StatementKind.COMMIT})


class Dialect(enum.Enum):
    """What a log's statements are written in."""

    SQLITE = "sqlite"
    """A primary's of this package, whose rows are rows, and whose DDL is SQLite's."""

    POSTGRESQL = "postgresql"
    """An SPG server's."""


def _always_postgresql() -> Dialect:
    return Dialect.POSTGRESQL


@attrs.frozen
class Running:
    """How statements run.

    Attributes:
        seconds: How long one may. It waits half as long for a lock; then it is tried again.
        rows_act: Whether triggers and foreign keys act in this session. Where they do not, they are let act for
            statements, of which the log says nothing but themselves: what their foreign keys do is not in it.
        byte_order: Whether the database orders texts by their bytes, as an SPG server does.
        usual_letters: Whether the capital letters of ASCII are what they are in all other databases.
        in_public: Whether the tables are in the schema ``public``.
        reads: Whether the server shows how it reads a statement, and its texts are made of all letters.
    """

    seconds: float = DEFAULT_LIMITS.statement_seconds
    rows_act: bool = True
    byte_order: bool = True
    usual_letters: bool = True
    in_public: bool = True
    reads: bool = True

    @classmethod
    def of(cls, server: Transactor, seconds: float) -> Running:
        """How they run in a server."""
        of = server.session.features
        return cls(seconds, server.rows_act, of.byte_order, of.usual_letters, of.in_public, of.reads)


_USUAL = Running()


class LogStatements:
    """Runs statements of a log inside a transaction that somebody else begins and ends.

    Args:
        tables: The tables of the server; forgotten where a statement may change them.
        schema: Makes the changes of a schema of SQLite. None where statements that change a schema are refused,
            with the statement to run.
        dialect: Says what the log is written in.
        spg: What is known of an SPG server's log beside its statements; None for nothing.
        running: How they run.
    """

    def __init__(
        self,
        tables: TableBook,
        *,
        schema: SchemaChanges | None = None,
        dialect: Callable[[], Dialect] = _always_postgresql,
        spg: SpgLog | None = None,
        running: Running = _USUAL,
    ) -> None:
        self._rows_act = running.rows_act
        self._in_public = running.in_public
        self._reader = (
            StatementReader(tables, running.byte_order, running.usual_letters) if running.reads else None
        )
        self._tables = tables
        self.schema = schema
        self._dialect = dialect
        self._spg = spg or SpgLog()
        self._number = 0
        self._respells = False
        self._seconds = running.seconds
        self._began = 0.0
        wait, limit = (max(1, min(_LONGEST_MS, int(running.seconds * share))) for share in (500, 1000))
        self._limit = f"SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {wait}"

    def run(self, connection: Any, number: int, sql: bytes, kind: RecordType) -> None:
        """Run the SQL of one record.

        Args:
            connection: The connection.
            number: The record's number in its transaction, for errors.
            sql: Its SQL.
            kind: Its type.

        Raises:
            StatementRefused: It is refused. The transaction must be rolled back.
            psycopg.Error: The transaction failed for another reason.
        """
        psycopg = driver.load()
        self._number = number
        try:
            text = sql.decode("utf-8")
            if statement_kind(sql) in _OF_SAVEPOINTS and kind is RecordType.SQL:
                # Not inside a savepoint of our own, with which it would end.
                connection.execute(text)
            else:
                self._run(connection, text, kind)
        except (Refused, NotMade, NotTranslated, StatementStopped, UnicodeDecodeError) as error:
            raise StatementRefused(number, sql, str(error)) from error
        except psycopg.Error as error:
            if self._ran_too_long(error):
                raise StatementRefused(number, sql, ran_too_long(self._seconds)) from error
            if judge(error, connection) is not Fault.REFUSED:
                raise
            raise StatementRefused(number, sql, said(error)) from error

    def _run(self, connection: Any, text: str, kind: RecordType) -> None:
        whole = self.schema is not None and not self._rows_act and self._dialect() is Dialect.POSTGRESQL
        act = f"; {_KEYS_ACT}" if whole else ""
        connection.execute(f"{self._limit}{act}; SAVEPOINT {_SAVEPOINT}")
        counted = self._spg.mark()
        try:
            self._run_pieces(connection, text, kind)
        except driver.load().Error as error:
            # As it stands first; then with what only SPG has in this server's words.
            if self._dialect() is Dialect.SQLITE or error.sqlstate not in (*_NOT_TAKEN, _PENDING):
                raise
            connection.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            self._spg.back_to(counted)
            self._tables.forget()
            self._respells = error.sqlstate != _PENDING
            if not self._respells:
                connection.execute(_CHECK_NOW)
            try:
                self._run_pieces(connection, text, kind)
            finally:
                self._respells = False
        rest = "" if self._rows_act else f"; {_KEYS_REST}"
        connection.execute(f"RELEASE {_SAVEPOINT}; {_NO_LIMIT}{rest}")

    def _run_pieces(self, connection: Any, text: str, kind: RecordType) -> None:
        if kind is RecordType.MYSQL:
            for piece in to_postgresql(text, MYSQL):
                self._run_piece(connection, piece)
        elif self._dialect() is Dialect.SQLITE:
            for piece in split_statements(text):
                self._run_of_sqlite(connection, piece)
        else:
            for piece in pieces_of(text):
                if kind is RecordType.TRANSACTION and statement_kind(piece.encode()) in _OF_TRANSACTIONS:
                    continue
                self._run_piece(connection, piece)

    def _ran_too_long(self, error: Exception) -> bool:
        """Whether the server ended a statement for its time, and nobody has cancelled it."""
        return getattr(error, "sqlstate", None) == _CANCELLED and monotonic() - self._began >= self._seconds

    # -- a log of rows ----------------------------------------------------------------------------------------

    def _run_of_sqlite(self, connection: Any, text: str) -> None:
        self._began = monotonic()
        if self.schema is None:
            self._refuse_ddl(text)
        elif self.schema.apply(connection, text):
            self._tables.forget()
            return
        raise Refused("a row, or a change of the schema, was expected in a log of rows")

    # -- a log of statements ----------------------------------------------------------------------------------

    def _run_piece(self, connection: Any, text: str) -> None:
        found, name = meaning_of(text, self._spg.approximate)
        if found is Meaning.NOTHING:
            self._spg.skip(name)
            if sets(name) and (zone := zone_set(text)) is not None:
                self._spg.set_zone(zone)
            return
        if not self._in_public:
            text = plain_names(text)
        if self._respells:
            text = respelled(text, partial(self._tables.get, connection))
        followed_tables.refuse_other_schemas(tokens_of(text), text)
        if found is Meaning.OBJECT:
            if self.schema is None or not self._made(connection, text):
                self._spg.skip(name)
            return
        if found is Meaning.SCHEMA:
            if self.schema is None:
                self._refuse_ddl(text)
            self._make(connection, text)
            return
        tokens = tokens_of(text)
        cascades = judge_effects(tokens, partial(self._tables.get, connection), self._spg.leave_out)
        if self._spg.approximate:
            text = self._spg.readable(connection, self._tables, text, self._number)
            left = find_moment(tokens_of(text), but=RANDOM)
            if left is not None:
                raise Refused(f"{left} has another value here than it had on the master, and is not approximated")
        else:
            refuse_defaults(tokens, self._tables, connection)
        underlying: list[Table] = []
        if tokens[0].upper != "TRUNCATE":
            underlying = self._judge(connection, tokens_of(text) if self._spg.approximate else tokens, text)
            cascades |= any(table.cascades for table in underlying)
        if self.schema is not None or (cascades and not self._rows_act):
            refuse_acting(tokens, partial(self._tables.get, connection), underlying, own=self.schema is None)
        if cascades and not self._rows_act and self.schema is None:
            connection.execute(_KEYS_ACT)  # the triggers of a subscriber's own rest where that can be
        self._execute(connection, text)

    def _judge(self, connection: Any, tokens: list[Token], text: str, lasts: bool = False) -> list[Table]:
        """Look whether a statement means something else here, with all that stands behind the names in it.

        Args:
            connection: The connection.
            tokens: The statement.
            text: The statement.
            lasts: Whether it is an expression that rows to come are given to.

        Returns:
            The tables under the view through which it changes rows.

        Raises:
            Refused: It may.
        """
        tables = partial(self._tables.get, connection)
        if self._reader is None:
            refuse_unless_plain(tokens, tables)
            return []
        reading = self._reader.read(connection, tokens, text)
        underlying = judge_reading(reading, tokens, tables, RANDOM if self._spg.approximate else ())
        if reading.joins and meets_several(connection, tokens, text):
            raise Refused("a row is joined with several: which of them counts cannot be told here")
        choices = choices_of(reading, tokens, tables)
        unsure = self._reader.unsure(connection, reading, tokens, text, lasts)
        if unsure is None and choices:
            unsure = self._reader.unsure_choice(connection, choices, text)
        if unsure is not None:
            raise Refused(unsure)
        zone = self._spg.zone
        if zone is not None and (reading.zone or (reading.moments and depends_on_zone(connection, text))):
            raise Refused(
                f"a session of the master has set its time zone to {zone}, and what moment "
                f"{reading.zone or 'a time without a zone'} is there cannot be told"
            )
        return underlying

    def _make(self, connection: Any, text: str) -> None:
        """Change the schema, and what of rows goes with that."""
        tokens = tokens_of(text)
        followed_tables.refuse_tables_of_others(connection, tokens, text)
        query = query_of(tokens, text)
        if query is not None:
            self._judge(connection, tokens_of(query), query)
        elif self._spg.zone is not None and has_moments(tokens):
            raise Refused(
                f"a session of the master has set its time zone to {self._spg.zone}, and what moments this makes "
                f"of times without a zone cannot be told"
            )
        self._judge_expressions(connection, tokens, text, "USING")
        self._tables.forget()
        with followed_tables.following_tables(connection):
            self._execute(connection, in_transaction(tokens, text))
        self._judge_expressions(connection, tokens, text, "GENERATED")

    def _judge_expressions(self, connection: Any, tokens: list[Token], text: str, word: str) -> None:
        """Look whether values that DDL has computed are others here."""
        for query in expressions_of(tokens, text, word):
            self._judge(connection, tokens_of(query), query, lasts=word == "GENERATED")

    def _made(self, connection: Any, text: str) -> bool:
        """Make, change or drop something without rows; whether the server took it.

        A copy of a snapshot has no views, sequences and types of its own: columns have what these are made of.
        """
        psycopg = driver.load()
        connection.execute(f"SAVEPOINT {_OBJECT}")
        try:
            with followed_tables.following_tables(connection):
                self._execute(connection, text)
        except psycopg.Error as error:
            if judge(error, connection) is not Fault.REFUSED or changes_values(tokens_of(text)):
                raise
            connection.execute(f"ROLLBACK TO SAVEPOINT {_OBJECT}; RELEASE SAVEPOINT {_OBJECT}")
            replaced = replaced_view(tokens_of(text))
            if replaced is not None and self._tables.get(connection, replaced) is not None:
                raise Refused(f"what {replaced} is at the master is not taken here: {said(error)}") from error
            return False
        connection.execute(f"RELEASE SAVEPOINT {_OBJECT}")
        self._tables.forget()
        return True

    def _execute(self, connection: Any, text: str) -> None:
        self._began = monotonic()
        if self._spg.told.may_be_held:
            self._run_held(connection, text)
        else:
            connection.execute(text.encode())

    def _run_held(self, connection: Any, text: str) -> None:
        """Run a statement that the snapshot may hold: it changes nothing where it meets what it has made."""
        psycopg = driver.load()
        connection.execute(f"SAVEPOINT {_HELD}")
        try:
            connection.execute(text.encode())
        except psycopg.Error as error:
            if not self._spg.holds(error):
                raise
            connection.execute(f"ROLLBACK TO SAVEPOINT {_HELD}")
        connection.execute(f"RELEASE SAVEPOINT {_HELD}")

    def _refuse_ddl(self, text: str) -> None:
        """DDL is not for a subscriber: say what to run."""
        words = significant_tokens(text)
        if not words or words[0].upper not in ("CREATE", "ALTER", "DROP", "TRUNCATE"):
            return
        statement = text.strip()
        if self._dialect() is Dialect.SQLITE:
            try:
                statement = "; ".join(to_postgresql(text))
            except NotTranslated:
                statement = f"what does the same as {statement}"
        raise Refused(
            f"a subscriber's tables are not changed by its master: run {statement} in the server yourself, and "
            f"skip this record"
        )

"""A primary's writer for tests, and the copy that its log makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from spgrepl.catalogue.catalogue_tables import note_control
from spgrepl.catalogue.statements import is_control
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.sqlite_applier import StatementApplier
from spgrepl.errors import SpgReplError
from spgrepl.log.reader import iterate_records
from spgrepl.primary.parts.connection import Setup
from spgrepl.primary.parts.requests import Parameters, Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.recognise import Recogniser
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.sqlite.session import prepare_session
from spgrepl.text.sqltext import quote_name


class Writer(DatabaseWriter):
    """A writer with short words for tests."""

    def __init__(self, paths: DatabasePaths, setup: Setup | None = None) -> None:
        super().__init__(paths, setup=setup)
        self.paths = paths

    def execute(self, sql: str, *parameters: Parameters) -> Written:
        """Run one statement; raise what it is refused with."""
        return self._only(Request((sql,), parameters=parameters))

    @staticmethod
    def request(sql: str) -> Request:
        """One statement, for `run`."""
        return Request((sql,))

    def transaction(self, *statements: str) -> Written:
        """Run several statements, all or none."""
        return self._only(Request(statements, transaction=True))

    def _only(self, request: Request) -> Written:
        (answer,) = self.run([request])
        if isinstance(answer, SpgReplError):
            raise answer
        return answer

    def rows(self, sql: str) -> list[Any]:
        """Read the database with a connection that knows nothing of spgrepl."""
        return rows_of(self.paths.database, sql)

    def logged(self) -> list[str]:
        """The statements of the log."""
        return logged(self.paths.wal)


def rows_of(database: Path, sql: str) -> list[Any]:
    """Run SQL on a database, with a connection of its own.

    It is APSW's. Two SQLite libraries in one process do not see each other's locks: the standard library's would
    delete the ``-wal`` file when it closes, under the feet of the writer.
    """
    with closing(apsw.Connection(str(database))) as connection:
        return connection.execute(sql).fetchall()


def logged(wal: Path) -> list[str]:
    """The statements of a log, without the mark that says that it holds rows."""
    found = [sql for batch in iterate_records(wal) for sql in batch.sql if sql is not None]
    return [sql.decode() for sql in found if sql != ROWS_FROM_HERE]


@contextmanager
def opened(folder: Path, *statements: str, setup: Setup | None = None) -> Iterator[Writer]:
    """A writer of a new database in a folder, with some statements run."""
    writer = Writer(DatabasePaths.of(folder / "primary.db"), setup)
    writer.open()
    try:
        for sql in statements:
            writer.execute(sql)
        yield writer
    finally:
        writer.close()


def copy_of(wal: Path) -> apsw.Connection:
    """A database to which nothing but the log was applied, row by row."""
    connection = apsw.Connection(":memory:")
    prepare_session(connection)
    for switch in (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, apsw.SQLITE_DBCONFIG_DQS_DML):
        connection.config(switch, 0)
    recogniser = Recogniser()
    for sql in logged(wal):
        if is_control(sql):
            continue
        connection.execute(sql)
        row = recogniser.read(sql.encode())
        if row is not None and row.shape.kind is not ChangeKind.CLEAR:
            assert connection.changes() == 1, sql
    return connection


def follower_of(wal: Path) -> apsw.Connection:
    """A database that the engine of a follower has made of a log, which holds no ROLLBACK."""
    connection = apsw.Connection(":memory:")
    prepare_session(connection)
    sqlite_state.ensure_table(connection)
    applier = StatementApplier(connection, Path("copy"), note_control)
    for batch in iterate_records(wal):
        applier.begin()
        found = [sql for sql in batch.sql if sql not in (None, b"BEGIN", b"COMMIT")]
        applier.execute([sql for sql in found if not is_control(sql.decode())], {})
        applier.ready().execute("COMMIT")
    return connection


_SCHEMA = "SELECT type, name, CAST(sql AS BLOB), rootpage FROM sqlite_master WHERE name NOT LIKE 'spgrepl%'"
_KEYLESS = "SELECT count(*) FROM pragma_table_info(?) WHERE pk"
_WITHOUT_NUMBERS = "SELECT wr OR type <> 'table' FROM pragma_table_list WHERE schema = 'main' AND name = ?"


def content(connection: apsw.Connection) -> dict[str, object]:
    """The schema and the rows of all tables of users, with the row numbers of those without a key."""
    found: dict[str, object] = {"user_version": connection.execute("PRAGMA user_version").get}
    for kind, name, sql, root in connection.execute(_SCHEMA).fetchall():
        found[f"{kind} {name}"] = sql
        if kind == "table" and root and not str(name).startswith("sqlite_stat"):
            found[f"rows of {name}"] = sorted(_rows(connection, str(name)), key=repr)
    return found


def _rows(connection: apsw.Connection, table: str) -> list[object]:
    keyed = connection.execute(_KEYLESS, (table,)).get or connection.execute(_WITHOUT_NUMBERS, (table,)).get
    number = "NULL" if keyed or table == "sqlite_sequence" else "rowid"
    columns = [row[1] for row in connection.execute(f"PRAGMA table_xinfo({quote_name(table)})")]
    # Bytes as they are: text need not be UTF-8.
    values = ", ".join(f"typeof({name}), CAST({name} AS BLOB)" for name in map(quote_name, map(str, columns)))
    return list(connection.execute(f"SELECT {number}, {values} FROM {quote_name(table)}"))


def assert_same_on_follower(writer: Writer) -> None:
    """A follower that applies the log has the same database."""
    _assert_same(follower_of(writer.paths.wal), writer)


def assert_same_on_copy(writer: Writer) -> None:
    """The log alone makes the same database."""
    _assert_same(copy_of(writer.paths.wal), writer)


def _assert_same(made: apsw.Connection, writer: Writer) -> None:
    with closing(made) as copy, closing(apsw.Connection(str(writer.paths.database))) as original:
        there, here = content(copy), content(original)
        differing = {
            name: (there.get(name), here.get(name)) for name in there | here if there.get(name) != here.get(name)
        }
        assert not differing, differing


def only(values: Sequence[tuple[object, ...]]) -> object:
    """The one value of one row."""
    ((value,),) = values
    return value

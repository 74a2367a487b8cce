"""Rows of a snapshot, put into the tables of a server by COPY; tables that are missing are made.

Everything happens in the transaction that is open: what is not committed was never there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import apsw
import attrs

from spgrepl.errors import CopyRefused, SnapshotError, TableMismatch
from spgrepl.postgresql import driver, own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.copy_lines import LineSource, LineUnfit
from spgrepl.postgresql.copying.present_tables import PresentTable
from spgrepl.postgresql.copying.source_tables import SourceTable, read_contents, read_source
from spgrepl.postgresql.copying.spg_effects import TOLD, spg_effects
from spgrepl.postgresql.copying.spg_types import SpgColumn, spg_columns, spg_default
from spgrepl.postgresql.copying.table_ddl import LaterStatement, key_of, write_table
from spgrepl.postgresql.copying.type_map import MappedType, map_type
from spgrepl.postgresql.exact_texts import is_looked_at
from spgrepl.postgresql.faults import Fault, judge, said
from spgrepl.postgresql.features import Features
from spgrepl.postgresql.names import NameUnfit, quoted
from spgrepl.postgresql.tables import DEFAULT, LOOSE, OF_TABLE, Table, difference_of, read_table
from spgrepl.sqlite.session import plain_connection
from spgrepl.text.placing import PlacingStep
from spgrepl.text.sqltext import quote_name

_SAVEPOINT = "spgrepl_copy"
_TELL_EVERY = 0.5


@attrs.frozen
class CopyProgress:
    """How far a copy has come.

    Attributes:
        table: The table that is being copied; None when all are.
        tables: How many tables are done.
        rows: How many rows were sent.
        bytes: How many bytes they were.
        seconds: How long it has taken.
    """

    table: str | None = None
    tables: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def as_values(self) -> dict[str, object]:
        """What the status shows."""
        rate = self.rows / self.seconds if self.seconds > 0 else 0.0
        return {
            "table": self.table,
            "tables": self.tables,
            "rows": self.rows,
            "bytes": self.bytes,
            "rows_per_second": round(rate),
        }


class SnapshotCopy:
    """Copies tables of a snapshot.

    Args:
        connection: The server, with a transaction open.
        address: The server's address, for errors.
        path: The snapshot, a SQLite database that nobody else changes.
        features: What the server can do.
        tell: Called with the progress now and then.

    Attributes:
        notes: What could not be made there, and why.
        progress: How far it has come.
    """

    def __init__(
        self,
        connection: Any,
        address: ServerAddress,
        path: Path,
        features: Features,
        tell: Callable[[CopyProgress], object] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._address = address
        self._path = path
        self._features = features
        self._tell = tell
        self._began = self._told = monotonic()
        self._step: PlacingStep | None = None
        self._copied: list[str] = []
        self.notes: list[str] = []
        self.progress = CopyProgress()

    def copy(self, tables: Sequence[str], replaceable: frozenset[str] = frozenset(), way_out: str = "") -> None:
        """Copy tables with their rows, keys and indexes.

        Args:
            tables: Their names.
            replaceable: Those whose rows may be replaced, because a copy put them there and nothing came since.
            way_out: What else can be done where they cannot be copied.

        Raises:
            CopyRefused: The server cannot hold what the snapshot holds.
            TableMismatch: A table is there, and differs or holds rows.
            SnapshotError: The snapshot cannot be read.
            psycopg.Error: The transaction failed for another reason.
        """
        try:
            with contextlib.closing(plain_connection(self._path, immutable=True)) as snapshot:
                sources = {name: _source(snapshot, name) for name in tables}
                self._step = _copying(snapshot, tables)
                later: list[LaterStatement] = []
                for name, source in sources.items():
                    later += self._copy_table(snapshot, source, sources, name in replaceable, way_out)
                self._finish(later, way_out)
        except apsw.Error as error:
            raise SnapshotError(f"the master's snapshot cannot be read: {error}") from error
        except (LineUnfit, NameUnfit) as unfit:
            raise CopyRefused(
                f"a table of the master cannot be put into {self._address}: {unfit}. Change it at the master, or "
                f"{way_out}"
            ) from unfit
        self._step = None
        self._note(attrs.evolve(self.progress, table=None), now=True)

    def append(self, snapshot: apsw.Connection, tables: Sequence[str]) -> None:
        """Copy more rows into tables that were made before.

        Args:
            snapshot: A database that holds these rows.
            tables: The tables.

        Raises:
            CopyRefused: The server cannot hold them.
            psycopg.Error: The transaction failed for another reason.
        """
        for name in tables:
            present = read_table(self._connection, name)
            if present is None:
                raise CopyRefused(f"the table {name} is not in {self._address} any more")
            try:
                self._copy_rows(snapshot, _source(snapshot, name), present, spg_columns(snapshot, name))
            except LineUnfit as unfit:
                raise CopyRefused(str(unfit)) from unfit

    def shapes(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """What the tables look like that were copied."""
        for name in self._copied:
            table = read_table(self._connection, name)
            assert table is not None
            yield name, table.as_values()

    def _note(self, progress: CopyProgress, now: bool = False) -> None:
        moment = monotonic()
        self.progress = attrs.evolve(progress, seconds=moment - self._began)
        if now or moment - self._told >= _TELL_EVERY:
            self._told = moment
            self._tell(self.progress)
        if self._step is not None:
            self._step.tell(table=progress.table, rows=progress.rows, bytes=progress.bytes)

    # -- one table --------------------------------------------------------------------------------------------

    def _copy_table(
        self,
        snapshot: apsw.Connection,
        source: SourceTable,
        others: dict[str, SourceTable],
        replaceable: bool,
        way_out: str,
    ) -> tuple[LaterStatement, ...]:
        """Make a table where it is missing, and copy its rows; what is to be done after that is returned."""
        self._note(attrs.evolve(self.progress, table=source.name), now=True)
        of_spg = spg_columns(snapshot, source.name)
        present = read_table(self._connection, source.name)
        later: tuple[LaterStatement, ...] = ()
        if present is None:
            later = self._make(snapshot, source, others, of_spg)
            present = read_table(self._connection, source.name)
            assert present is not None
        else:
            beside = of_spg and PresentTable(self._connection, self._unless_refused, snapshot, source, present)
            difference = difference_of(present, source.copied, key_of(source), source.row_number)
            if difference is None and beside:
                difference = beside.difference(others)
            self._refuse_other_table(source.name, difference, replaceable, way_out)
            if beside:
                self._note_effects(source.name, beside.effects())
        self._copy_rows(snapshot, source, present, of_spg)
        self._copied.append(source.name)
        self._note(attrs.evolve(self.progress, tables=self.progress.tables + 1))
        return later

    def _make(
        self,
        snapshot: apsw.Connection,
        source: SourceTable,
        others: dict[str, SourceTable],
        of_spg: Mapping[str, SpgColumn],
    ) -> tuple[LaterStatement, ...]:
        if of_spg:
            return self._make_of_spg(snapshot, source, others, of_spg)
        contents = read_contents(snapshot, source)
        types: dict[str, MappedType] = {}
        for column in source.stored:
            content = contents[column.name]
            types[column.name] = map_type(column.declared, content.kinds, content.only_booleans)
        ddl = write_table(source, types, others)
        self._connection.execute(ddl.create)
        own_schema.note_columns(
            self._connection, source.name, {name: LOOSE for name, mapped in types.items() if mapped.loose}
        )
        self.notes += ddl.notes
        return ddl.later

    def _make_of_spg(
        self,
        snapshot: apsw.Connection,
        source: SourceTable,
        others: dict[str, SourceTable],
        of_spg: Mapping[str, SpgColumn],
    ) -> tuple[LaterStatement, ...]:
        """Make a table with SPG's types, and with its defaults as far as this server takes them."""
        types = {name: column.mapped for name, column in of_spg.items()}
        ddl = write_table(source, types, others, with_defaults=False)
        self._connection.execute(ddl.create)
        effects = spg_effects(snapshot, source.name)
        for column in source.columns:
            default = effects.get(column.name, {}).get(DEFAULT) or spg_default(snapshot, column, of_spg)
            if default is None or self._set_default(source.name, column.name, default):
                effects.get(column.name, {}).pop(DEFAULT, None)
            else:
                effects.setdefault(column.name, {})[DEFAULT] = default
        self._note_effects(source.name, effects)
        self.notes += ddl.notes
        return ddl.later

    def _set_default(self, table: str, column: str, default: str) -> bool:
        """Give a column a default; whether the server took it."""
        alter = f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(column)} SET DEFAULT {default}"
        return self._unless_refused(alter) is not None

    def _unless_refused(self, query: str) -> Any | None:
        """Run a statement; its cursor, or None where the server refuses it, which then changes nothing."""
        psycopg = driver.load()
        self._connection.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            done = self._connection.execute(query.encode())
        except psycopg.Error as error:
            if judge(error, self._connection) is not Fault.REFUSED:
                raise
            self._connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
            done = None
        self._connection.execute(f"RELEASE {_SAVEPOINT}")
        return done

    def _note_effects(self, table: str, effects: Mapping[str, Mapping[str, str]]) -> None:
        """Keep what the master does by itself for the statements of its log, and tell it once."""
        own_schema.note_columns(self._connection, table, {name: kinds for name, kinds in effects.items() if kinds})
        self.notes += dict.fromkeys(effects.get(OF_TABLE, {}).values())
        self.notes += [
            f"{table}.{name} {TOLD[kind].format(sql)}: a statement of the master's log that depends on that stops "
            f"replication"
            for name, kinds in effects.items()
            if name != OF_TABLE
            for kind, sql in kinds.items()
        ]

    def _refuse_other_table(self, name: str, difference: str | None, replaceable: bool, way_out: str) -> None:
        where = f"the table {name} of the master is in {self._address} already"
        if difference is not None:
            raise TableMismatch(f"{where}, and is another one: {difference}; move or drop it there, or {way_out}")
        if replaceable:
            self._connection.execute(f"DELETE FROM {quoted(name)}")
        elif self._connection.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 1").fetchone() is not None:
            raise TableMismatch(
                f"{where} and holds rows, where none are expected; move or drop it there, or {way_out}"
            )

    def _copy_rows(
        self,
        snapshot: apsw.Connection,
        source: SourceTable,
        present: Table,
        of_spg: Mapping[str, SpgColumn],
    ) -> None:
        psycopg = driver.load()
        types = {name: present.columns[name].type for name in source.copied}
        # What is of the very type of the master has a text that this type keeps.
        own = {
            name: column.own or "{0}"
            for name, column in of_spg.items()
            if column.own is not None or is_looked_at(types[name].base)
        }
        lines = LineSource(source, types, own, binary=self._features.binary_copy)
        self._connection.execute(f"SAVEPOINT {_SAVEPOINT}")
        cursor = self._connection.cursor()
        try:
            with cursor.copy(lines.statement(source.name)) as copy:
                for data, count in lines.batches(snapshot):
                    copy.write(data)
                    done = self.progress
                    self._note(attrs.evolve(done, rows=done.rows + count, bytes=done.bytes + len(data)))
        except psycopg.Error as error:
            if judge(error, self._connection) is not Fault.REFUSED:
                raise
            number, column = _place_of(error, source.name, source.copied)
            if number is None:
                raise CopyRefused(f"rows of table {source.name}: {said(error)}") from error
            raise lines.unfit(snapshot, number, said(error), column) from error
        self._connection.execute(f"RELEASE {_SAVEPOINT}")

    # -- after the rows ---------------------------------------------------------------------------------------

    def _finish(self, later: Sequence[LaterStatement], way_out: str) -> None:
        """Make keys and indexes: first what others refer to."""
        psycopg = driver.load()
        step = self._step = PlacingStep("index")
        for statement in sorted(later, key=lambda one: (not one.needed, "FOREIGN KEY" in one.sql)):
            step.tell(table=statement.table)
            self._connection.execute(f"SAVEPOINT {_SAVEPOINT}")
            try:
                self._connection.execute(statement.sql)
            except psycopg.Error as error:
                if judge(error, self._connection) is not Fault.REFUSED:
                    raise
                if statement.needed:
                    raise CopyRefused(f"{statement.what} cannot be made: {said(error)}; {way_out}") from error
                self._connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
                self.notes.append(f"{statement.what} was not made: {said(error)}")
            self._connection.execute(f"RELEASE {_SAVEPOINT}")


def _source(snapshot: apsw.Connection, table: str) -> SourceTable:
    """A table of a snapshot; an SPG server's log does not name rows by their number, which gets no column then."""
    found = read_source(snapshot, table)
    return attrs.evolve(found, row_number=None) if spg_columns(snapshot, table) else found


def _copying(snapshot: apsw.Connection, tables: Sequence[str]) -> PlacingStep:
    """The step of copying, with the number of rows where anybody looks."""
    step = PlacingStep("copy")
    if step.wanted:
        counts = (snapshot.execute(f"SELECT count(*) FROM {quote_name(name)}").fetchall()[0][0] for name in tables)
        step.tell(rows=0, rows_total=sum(counts))
    return step


def _place_of(error: Exception, table: str, columns: Sequence[str]) -> tuple[int | None, str | None]:
    """The row, from 0, and the column that an error of COPY names in its context, in whatever language."""
    context = getattr(getattr(error, "diag", None), "context", None) or ""
    found = re.match(rf"\W*\w+\s+{re.escape(table)}\b\D*(\d+)(.*)", context, re.DOTALL)
    if found is None:
        return None, None
    rest = found[2].partition(":")[0]
    named = [name for name in columns if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", rest)]
    return int(found[1]) - 1, max(named, key=len) if named else None

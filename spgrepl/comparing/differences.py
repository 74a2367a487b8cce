"""A row that is not the same in two databases: what differs in it, for people, and what would put that right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from spgrepl.comparing.table_reader import POSTGRESQL, Layout, Row
from spgrepl.errors import UsageError
from spgrepl.postgresql.column_types import Misfit
from spgrepl.postgresql.comparing.canonical import NULL, canonical, value_of
from spgrepl.postgresql.names import literal, quoted
from spgrepl.rows.render import render_delete, render_insert
from spgrepl.rows.values import RowValue

_LONGEST = 100


@attrs.frozen
class FoundRow:
    """A row at one end.

    Attributes:
        texts: Its values as they are compared.
        values: Its values; None where they are in PostgreSQL.
    """

    texts: tuple[str, ...]
    values: tuple[RowValue, ...] | None = None

    @classmethod
    def several(cls, kind: str, layout: Layout, rows: Sequence[Row]) -> Iterator[FoundRow]:
        """What a reader has found."""
        if kind == POSTGRESQL:
            return (cls(tuple(row)) for row in rows)
        if not layout.types:
            return (cls(tuple(map(repr, row)), tuple(row)) for row in rows)
        columns = zip(layout.types, zip(*rows, strict=True), strict=True)
        texts = zip(*[canonical(one).texts(values) for one, values in columns], strict=True)
        return (cls(text, tuple(row)) for text, row in zip(texts, rows, strict=True))


@attrs.frozen
class RowDifference:
    """A row that is not the same at both ends.

    Attributes:
        layouts: Its table at each of them.
        key: The columns that name it; none where it has no name.
        first: The row in the first database; None where it is not there.
        second: The row in the second one; None where it is not there.
    """

    layouts: tuple[Layout, Layout]
    key: tuple[str, ...]
    first: FoundRow | None
    second: FoundRow | None

    @property
    def _where(self) -> str:
        layout, row = (self.layouts[0], self.first) if self.first else (self.layouts[1], self.second)
        assert row is not None
        if not self.key:
            shown = ", ".join(_shown(layout, place, text) for place, text in enumerate(row.texts))
            return f"table {layout.name}, row ({shown})"
        named = ", ".join(
            f"{layout.columns[place]}={_shown(layout, place, row.texts[place])}" for place in layout.places
        )
        return f"table {layout.name}, row {named}"

    @property
    def _unlike(self) -> list[int]:
        assert self.first is not None
        assert self.second is not None
        pairs = zip(self.first.texts, self.second.texts, strict=True)
        return [place for place, (one, other) in enumerate(pairs) if one != other]

    def __str__(self) -> str:
        if self.second is None:
            return f"{self._where}: missing in the second"
        if self.first is None:
            return f"{self._where}: in the second only"
        return f"{self._where}: differs in {', '.join(self.layouts[0].columns[place] for place in self._unlike)}"

    def between(self, first: object, second: object) -> str:
        """The same with the names of the databases, and with what they have."""
        if self.first is None or self.second is None:
            has, lacks = (second, first) if self.first is None else (first, second)
            return f"{self._where}: {has} has it, {lacks} does not"
        place = self._unlike[0]
        one, other = (
            _cut(_shown(layout, place, row.texts[place]))
            for layout, row in zip(self.layouts, (self.first, self.second), strict=True)
        )
        return f"{self._where}, column {self.layouts[0].columns[place]}: {first} has {one}; {second} has {other}"

    def statements(self) -> tuple[bytes | None, bytes | None]:
        """What the second end needs to have the first one's row: how its own goes, how the right one comes.

        Raises:
            UsageError: It cannot hold a value that the row has.
        """
        try:
            return self._of_server() if self.layouts[1].in_server else self._of_sqlite()
        except Misfit as misfit:
            raise UsageError(f"{self}: no statement can put that right: {misfit.reason}") from misfit

    def _of_sqlite(self) -> tuple[bytes | None, bytes | None]:
        layout, goes, comes = self.layouts[1], None, None
        if self.second is not None:
            assert self.second.values is not None
            places = layout.places if self.key else range(len(layout.columns))
            names = [layout.columns[place] for place in places]
            values = [self.second.values[place] for place in places]
            goes = render_delete(layout.name, names, values, one_of=None if self.key else "rowid")
        if self.first is not None:
            pairs = zip(self.layouts[0].types, self.first.texts, strict=True)
            values = list(self.first.values or [value_of(one, text) for one, text in pairs])
            comes = render_insert(layout.name, layout.columns, values)
        return goes, comes

    def _of_server(self) -> tuple[bytes | None, bytes | None]:
        """A row that is at both ends is changed as it stands."""
        layout, table = self.layouts[1], quoted(self.layouts[1].name)
        if self.first is None:
            assert self.second is not None
            places = layout.places if self.key else range(len(layout.columns))
            where = self._condition(self.second, places)
            one = where if self.key else f"ctid = (SELECT ctid FROM {table} WHERE {where} LIMIT 1)"
            return f"DELETE FROM {table} WHERE {one}".encode(), None
        texts = self._constants(self.first)
        if self.second is None:
            names = ", ".join(map(quoted, layout.columns))
            # A column that numbers rows by itself takes the number that the row has.
            return (
                None,
                f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({', '.join(texts)})".encode(),
            )
        changed = [f"{quoted(layout.columns[place])} = {texts[place]}" for place in self._unlike]
        where = self._condition(self.second, layout.places)
        return None, f"UPDATE {table} SET {', '.join(changed)} WHERE {where}".encode()

    def _constants(self, row: FoundRow) -> list[str]:
        """A row of the first end, as constants of the second one's SQL."""
        if row.values is None:
            return [_constant(self.layouts[0], place, text) for place, text in enumerate(row.texts)]
        pairs = zip(self.layouts[1].types, row.values, strict=True)
        texts = [one.encode([value])[0] for one, value in pairs]
        return ["NULL" if text is None else literal(text) for text in texts]

    def _condition(self, row: FoundRow, places: Sequence[int]) -> str:
        layout = self.layouts[1]
        texts = [(quoted(layout.columns[place]), _constant(layout, place, row.texts[place])) for place in places]
        return " AND ".join(f"{name} IS NULL" if text == "NULL" else f"{name} = {text}" for name, text in texts)


def _constant(layout: Layout, place: int, text: str) -> str:
    return "NULL" if text == NULL else literal(canonical(layout.types[place]).plain(text))


def _shown(layout: Layout, place: int, text: str) -> str:
    return canonical(layout.types[place]).shown(text) if layout.types else text


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"

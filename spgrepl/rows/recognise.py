"""Canonical SQL text of row changes, read back. What is not exactly such a text is not recognised."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from spgrepl.compiled.core import CORE, Core
from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.names import NAME_PATTERN, name_of
from spgrepl.rows.numbers import RowNumber, may_have_number, numbered_shape, take_number
from spgrepl.rows.render import render
from spgrepl.rows.shapes import (
    MOST_GROUPS,
    ORIGIN_PATTERN,
    Shape,
    row_pattern,
    rows_pattern,
    shape_of,
    shape_pattern,
)
from spgrepl.rows.values import VALUE_PATTERN, NotCanonical, RowValue, value_of

_LONGEST_PREFIX = 16 * 1024
_MOST_PREFIXES = 1024
_MOST_SHAPES = 16

_ANY_NAME = NAME_PATTERN.encode()
_NAME = b"(" + _ANY_NAME + b")"
_INSERT = re.compile(
    rb"INSERT INTO "
    + _NAME
    + rb"\(("
    + NAME_PATTERN.encode()
    + rb"(?:,"
    + NAME_PATTERN.encode()
    + rb")*+)\)VALUES\("
)
_UPDATE = re.compile(rb"UPDATE " + _NAME + rb" SET ")
_DELETE = re.compile(rb"DELETE FROM " + _NAME + rb"(?= WHERE | /\*|\Z)")
_ONE_OF = re.compile(_NAME + rb"=\(SELECT min\(" + _NAME + rb"\)FROM " + _NAME + rb" WHERE ")
_LISTED = re.compile(NAME_PATTERN)
_ASSIGNMENT = re.compile(_NAME + rb"=(" + VALUE_PATTERN + rb")")
_CONDITION = re.compile(
    _NAME
    + rb"(?: IS NULL|=("
    + VALUE_PATTERN
    + rb")(?: COLLATE BINARY| AND typeof\("
    + _ANY_NAME
    + rb"\)='(?:integer|real)')?)"
)
_VALUE = re.compile(VALUE_PATTERN)
_ORIGIN = re.compile(ORIGIN_PATTERN)


@attrs.frozen(eq=False)
class Recognised:
    """A canonical statement, taken apart.

    Attributes:
        shape: What it is but for the values.
        values: Its values, in the text's order: those of columns, then those of the key that are not NULL.
        origin: See `RowChange`.
        number: The number that the row is to have on a copy; None where that does not matter.
    """

    shape: Shape
    values: Sequence[RowValue]
    origin: int | None
    number: RowNumber | None = None

    def change(self) -> RowChange:
        """The change that it states, but for the row's number."""
        return self.shape.change(self.values, self.origin)

    def with_number(self) -> tuple[Shape, Sequence[RowValue]]:
        """The shape and the values of the same statement with the row's number as a column, where there is one."""
        if self.number is None:
            return self.shape, self.values
        given = len(self.shape.columns)
        values = (*self.values[:given], self.number.number, *self.values[given:])
        return numbered_shape(self.shape, self.number.name), values


@attrs.frozen(eq=False)
class InsertRun:
    """INSERTs that follow each other and differ in nothing but their values.

    Attributes:
        shape: Their shape.
        count: How many they are.
        rows: Their values as SQL text, ``(1,'x'),(2,'y')``, in UTF-8: what may stand after VALUES.
    """

    shape: Shape
    count: int
    rows: bytes


class Recogniser:
    """Reads canonical statements; quick for shapes that it has seen before. Not for several threads at once.

    Args:
        core: The compiled core; None runs the reference.
    """

    def __init__(self, core: Core | None = CORE) -> None:
        self._core = core
        self._inserts: dict[bytes, Shape] = {}
        # UPDATE and DELETE, by their text up to the first "=": the patterns of whole statements.
        self._others: dict[bytes, list[tuple[re.Pattern[bytes], Shape]]] = {}

    def read(self, sql: bytes) -> Recognised | None:
        """Take a statement apart.

        Args:
            sql: Any SQL.

        Returns:
            What it states; None where it is not exactly what `render`, and `add_number`, make of a change.
        """
        numbered = take_number(sql)
        if numbered is not None:
            sql, number = numbered
            found = self.read(sql) if take_number(sql) is None else None
            return attrs.evolve(found, number=number) if found and may_have_number(found.shape) else None
        try:
            if sql.startswith(b"INSERT INTO "):
                return self._read_insert(sql)
            if sql.startswith((b"UPDATE ", b"DELETE FROM ")):
                return self._read_other(sql)
        except NotCanonical:
            pass
        return None

    def read_run(self, statements: Sequence[bytes], first: int, most: int = 2**31) -> InsertRun | None:
        """Take INSERTs of one shape together, as many as follow each other.

        Their values are not read, only told apart: the text that is returned means what the statements mean.

        Args:
            statements: Any SQL.
            first: The index of the first statement of the run.
            most: How many statements a run has at most.

        Returns:
            The run; None where fewer than two statements are one.
        """
        found = self._insert_head(statements[first])
        if found is None:
            return None
        head, shape = found
        if shape.count > MOST_GROUPS:
            return None
        last = min(len(statements), first + most)
        if self._core is not None and type(statements) is list:
            count, rows = self._core.insert_rows(statements, first, last, head, shape.count)
            return InsertRun(shape, count, rows) if count > 1 else None
        stop = first + 1
        while stop < last and statements[stop].startswith(head):
            stop += 1
        size = len(head)
        joined = b"\0".join([sql[size:] for sql in statements[first:stop]]) + b"\0"
        if joined.count(b"\0") > stop - first:
            # One that holds NUL would be taken for two.
            stop = next(index for index in range(first, stop) if b"\0" in statements[index])
            joined = b"".join([sql[size:] + b"\0" for sql in statements[first:stop]])
        taken = rows_pattern(shape.count).match(joined)
        assert taken is not None  # nothing at all matches too
        count = stop - first if taken.end() == len(joined) else joined.count(b"\0", 0, taken.end())
        if count < 2:
            return None
        rows = b"(" + joined[: taken.end() - 1].replace(b"\0", b",(")
        return InsertRun(shape, count, rows)

    # -- INSERT -----------------------------------------------------------------------------------------------

    def _insert_head(self, sql: bytes) -> tuple[bytes, Shape] | None:
        """The text of an INSERT up to its values, and its shape."""
        head = sql[: sql.find(b")VALUES(") + 8]
        shape = self._inserts.get(head)
        if shape is not None:
            return head, shape
        found = _INSERT.match(sql)
        if found is None:
            return None
        head = found[0]
        shape = self._inserts.get(head) or _insert_shape(found)
        if shape is None:
            return None
        if len(head) <= _LONGEST_PREFIX:
            if len(self._inserts) >= _MOST_PREFIXES:
                self._inserts.clear()
            self._inserts[head] = shape
        return head, shape

    def _read_insert(self, sql: bytes) -> Recognised | None:
        known = self._insert_head(sql)
        if known is None:
            return None
        head, shape = known
        count = len(shape.columns)
        if count > MOST_GROUPS:
            return _read_long_row(shape, sql, len(head))
        found = row_pattern(count).fullmatch(sql, len(head))
        if found is None:
            return None
        *values, origin = found.groups()
        return Recognised(shape, [value_of(value) for value in values], _origin_of(origin))

    # -- UPDATE and DELETE ------------------------------------------------------------------------------------

    def _read_other(self, sql: bytes) -> Recognised | None:
        prefix = sql[: sql.find(b"=") + 1]
        known = self._others.get(prefix)
        if known is not None:
            for pattern, shape in known:
                found = pattern.fullmatch(sql)
                if found is not None:
                    *values, origin = found.groups()
                    return Recognised(shape, [value_of(value) for value in values], _origin_of(origin))
        change = _parse(sql)
        if change is None:
            return None
        shape = shape_of(change)
        given = [
            *change.values,
            *(value for value, null in zip(change.key_values, shape.key_nulls, strict=True) if not null),
        ]
        if prefix and shape.key and shape.one_of is None and shape.count <= MOST_GROUPS:
            self._remember(prefix, shape)
        return Recognised(shape, given, change.origin)

    def _remember(self, prefix: bytes, shape: Shape) -> None:
        if len(prefix) > _LONGEST_PREFIX:
            return
        if prefix not in self._others and len(self._others) >= _MOST_PREFIXES:
            self._others.clear()
        known = self._others.setdefault(prefix, [])
        known.insert(0, (shape_pattern(shape), shape))
        del known[_MOST_SHAPES:]


def recognise(sql: bytes) -> RowChange | None:
    """Read the change that a canonical statement states.

    Args:
        sql: Any SQL.

    Returns:
        The change; None where the text is not exactly what `render` makes of one.
    """
    found = Recogniser().read(sql)
    return None if found is None else found.change()


def _origin_of(digits: bytes | None) -> int | None:
    return None if digits is None else int(digits, 16)


def _insert_shape(found: re.Match[bytes]) -> Shape | None:
    """The shape of an INSERT's head; None where it would be written in another way."""
    try:
        table, listed = found[1].decode("utf-8"), found[2].decode("utf-8")
    except UnicodeDecodeError:
        return None
    columns = tuple(map(name_of, _LISTED.findall(listed)))
    shape = Shape(ChangeKind.INSERT, name_of(table), columns)
    written = render(shape.change((None,) * len(columns), None))
    return shape if written.startswith(found[0]) else None


def _read_long_row(shape: Shape, sql: bytes, at: int) -> Recognised | None:
    values: list[RowValue] = []
    for _ in shape.columns:
        found = _VALUE.match(sql, at)
        if found is None:
            return None
        values.append(value_of(found[0]))
        at = found.end() + 1
    origin = _ORIGIN.fullmatch(sql, at)
    if origin is None:
        return None
    read = Recognised(shape, values, _origin_of(origin[1]))
    return read if render(read.change()) == sql else None


# -- taking apart, slowly: only what is written in the same way again is right ---------------------------------


def _parse(sql: bytes) -> RowChange | None:
    """Read an UPDATE or DELETE.

    Raises:
        NotCanonical: A value would be written in another way.
    """
    try:
        change = _parse_update(sql) if sql.startswith(b"UPDATE ") else _parse_delete(sql)
        return change if change is not None and render(change) == sql else None
    except UnicodeDecodeError:
        return None  # in a name


def _parse_update(sql: bytes) -> RowChange | None:
    start = _UPDATE.match(sql)
    if start is None:
        return None
    columns: list[str] = []
    values: list[RowValue] = []
    at = start.end()
    while (found := _ASSIGNMENT.match(sql, at)) is not None:
        columns.append(_name(found[1]))
        values.append(value_of(found[2]))
        at = found.end()
        if sql[at : at + 1] != b",":
            break
        at += 1
    row = _parse_row(sql, at)
    if row is None or not columns:
        return None
    return attrs.evolve(
        row, kind=ChangeKind.UPDATE, table=_name(start[1]), columns=tuple(columns), values=tuple(values)
    )


def _parse_delete(sql: bytes) -> RowChange | None:
    start = _DELETE.match(sql)
    if start is None:
        return None
    table = _name(start[1])
    if sql.startswith(b" WHERE ", start.end()):
        row = _parse_row(sql, start.end())
        return None if row is None else attrs.evolve(row, table=table)
    origin = _ORIGIN.fullmatch(sql, start.end())
    return None if origin is None else RowChange(ChangeKind.CLEAR, table, origin=_origin_of(origin[1]))


def _parse_row(sql: bytes, at: int) -> RowChange | None:
    """Read the condition that names the row, and the origin: a DELETE from a table that is not named yet."""
    if not sql.startswith(b" WHERE ", at):
        return None
    at += len(b" WHERE ")
    one_of = _ONE_OF.match(sql, at)
    if one_of is not None:
        at = one_of.end()
    key: list[str] = []
    values: list[RowValue] = []
    while (found := _CONDITION.match(sql, at)) is not None:
        key.append(_name(found[1]))
        values.append(None if found[2] is None else value_of(found[2]))
        at = found.end()
        if not sql.startswith(b" AND ", at):
            break
        at += len(b" AND ")
    if one_of is not None:
        at += 1  # its parenthesis
    origin = _ORIGIN.fullmatch(sql, at)
    if origin is None or not key:
        return None
    number = None if one_of is None else _name(one_of[1])
    return RowChange(
        ChangeKind.DELETE,
        "",
        key=tuple(key),
        key_values=tuple(values),
        one_of=number,
        origin=_origin_of(origin[1]),
    )


def _name(text: bytes) -> str:
    return name_of(text.decode("utf-8"))

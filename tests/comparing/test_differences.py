"""What differs in a row, and the statements that would put that right."""

from __future__ import annotations

import attrs
import pytest

from spgrepl.comparing.differences import FoundRow, RowDifference
from spgrepl.comparing.table_reader import POSTGRESQL, SQLITE, Layout
from spgrepl.errors import UsageError
from spgrepl.postgresql.column_types import ColumnType

TYPES = {
    "id": ColumnType("bigint", "int8"),
    "n": ColumnType("numeric", "numeric"),
    "r": ColumnType("double precision", "float8"),
    "b": ColumnType("bytea", "bytea"),
    "t": ColumnType("text", "text"),
    "yes": ColumnType("boolean", "bool"),
}
PLAIN = Layout("x", ("id",), tuple(TYPES), 1)
TYPED = attrs.evolve(PLAIN, types=tuple(TYPES.values()))
SERVER = attrs.evolve(TYPED, in_server=True)
VALUES = (1, 1.5, 0.1, b"\xff", "it's", 1)
TEXTS = ("1", "1.5", "3fb999999999999a", "ff", "4:it's", "1")
OTHER = ("1", "2", "~", "~", "~", "0")


def row(layout: Layout, values: tuple[object, ...]) -> FoundRow:
    (found,) = FoundRow.several(SQLITE, layout, [values])
    return found


def there(texts: tuple[str, ...]) -> FoundRow:
    (found,) = FoundRow.several(POSTGRESQL, SERVER, [texts])
    return found


def test_a_row_has_the_same_texts_at_both_ends() -> None:
    assert row(TYPED, VALUES).texts == there(TEXTS).texts


def test_into_sqlite() -> None:
    change = RowDifference((PLAIN, PLAIN), ("id",), row(PLAIN, VALUES), row(PLAIN, (1, None, 0, b"", "", 1)))
    assert str(change) == "table x, row id=1: differs in n, r, b, t"
    goes, comes = change.statements()
    assert goes == b"DELETE FROM x WHERE id=1"
    assert comes == b"""INSERT INTO x(id,n,r,b,t,yes)VALUES(1,1.5,0.1,x'ff','it''s',1)"""
    from_server = RowDifference((SERVER, TYPED), ("id",), there(TEXTS), None)
    assert str(from_server) == "table x, row id=1: missing in the second"
    assert from_server.statements() == (None, comes)


def test_into_a_server() -> None:
    expected = (
        b"""UPDATE "x" SET "n" = '1.5', "r" = '0.1', "b" = '\\xff', "t" = 'it''s', "yes" = %s WHERE "id" = '1'"""
    )
    for first, yes in (((TYPED, row(TYPED, VALUES)), b"'t'"), ((SERVER, there(TEXTS)), b"'1'")):
        change = RowDifference((first[0], SERVER), ("id",), first[1], there(OTHER))
        assert change.statements() == (None, expected % yes)
        assert change.between("A", "B") == "table x, row id=1, column n: A has 1.5; B has 2"
    gone = RowDifference((TYPED, SERVER), ("id",), None, there(OTHER))
    assert gone.statements() == (b"""DELETE FROM "x" WHERE "id" = '1'""", None)
    assert gone.between("A", "B") == "table x, row id=1: B has it, A does not"


def test_of_rows_without_names_one_goes() -> None:
    layouts = tuple(
        attrs.evolve(one, key=(), ordered=0, columns=("id", "t"), types=one.types[:1] * 2)
        for one in (SERVER, SERVER)
    )
    one = RowDifference(layouts, (), None, there(("1", "~")))  # type: ignore[arg-type]
    assert str(one) == "table x, row (1, NULL): in the second only"
    where = b"""ctid = (SELECT ctid FROM "x" WHERE "id" = '1' AND "t" IS NULL LIMIT 1)"""
    assert one.statements() == (b'DELETE FROM "x" WHERE ' + where, None)


@pytest.mark.parametrize("number", ["1" + "0" * 30 + "1", "0.1000000000000000000001", "NaN"])
def test_a_number_that_sqlite_cannot_hold_is_refused_by_name(number: str) -> None:
    one = RowDifference((SERVER, TYPED), ("id",), there(("1", number, *TEXTS[2:])), None)
    with pytest.raises(UsageError, match=rf"table x, row id=1: .* SQLite has no value that is just {number}"):
        one.statements()


def test_a_value_that_a_server_cannot_hold_is_refused_by_name() -> None:
    one = RowDifference((TYPED, SERVER), ("id",), row(TYPED, ("one", *VALUES[1:])), None)
    with pytest.raises(
        UsageError, match="no statement can put that right: the text 'one' does not fit the type bigint"
    ):
        one.statements()

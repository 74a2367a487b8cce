"""Many changes at once are written as each alone would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spgrepl.log.format.records import encode_v2, encode_v2_all
from spgrepl.rows.bulk import delete_texts, insert_texts, update_texts
from spgrepl.rows.render import (
    delete_pieces,
    insert_head,
    render_delete,
    render_insert,
    render_update,
    update_pieces,
)
from spgrepl.rows.values import RowValue, same_value
from tests.rows.strategies import names, values

# Columns as tables have them: most hold one kind of value, and some hold all.
_columns = st.sampled_from(
    [
        st.integers(-3, 3),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from(["", "x", "name of a row", "100 %", "%s"]),
        st.sampled_from(["x", "it's", "a\0b", None]),
        st.sampled_from([0, 0.0, -0.0, 1, 1.0, None, "1"]),
        values,
    ]
)
_present = st.sampled_from([st.integers(0, 100), st.sampled_from(["a", "b'", "é"]), st.binary(max_size=3)])
_names = st.lists(st.one_of(names, st.just("50%d")), min_size=1, max_size=4, unique=True)
Rows = list[tuple[RowValue, ...]]


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, tuple[str, ...], Rows, Rows]:
    """A table's name and columns, rows of it, and what becomes of each."""
    columns = tuple(draw(_names))
    kinds = [draw(_columns) for _ in columns]
    count = draw(st.integers(1, 12))
    olds = [tuple(draw(kind) for kind in kinds) for _ in range(count)]
    lasting = [draw(st.booleans()) for _ in columns]
    news = [
        tuple(before if stays else draw(kind) for stays, before, kind in zip(lasting, old, kinds, strict=True))
        for old in olds
    ]
    return draw(names), columns, olds, news


@given(tables())
def test_inserts(table: tuple[str, tuple[str, ...], Rows, Rows]) -> None:
    """Any values of any type, in names of any kind."""
    name, columns, rows, _ = table
    assert insert_texts(insert_head(name, columns), rows) == [render_insert(name, columns, row) for row in rows]


@given(tables(), st.data())
def test_updates(table: tuple[str, tuple[str, ...], Rows, Rows], data: st.DataObject) -> None:
    """Each row sets the columns that changed in it, and a row in which none did is left out."""
    name, columns, olds, news = table
    key = ("id", "k%")
    keys = [tuple(data.draw(one) for _ in olds) for one in (data.draw(_present), data.draw(_present))]
    expected = []
    for old, new, *named in zip(olds, news, *keys, strict=True):
        changed = [place for place, pair in enumerate(zip(old, new, strict=True)) if not same_value(*pair)]
        if changed:
            expected.append(
                render_update(name, [columns[at] for at in changed], [new[at] for at in changed], key, named)
            )

    def pieces(places: tuple[int, ...]) -> tuple[str, ...]:
        return update_pieces(name, tuple(columns[place] for place in places), key)

    assert update_texts(pieces, olds, news, keys) == expected


@given(names, _names, st.data())
def test_deletes(table: str, key: list[str], data: st.DataObject) -> None:
    """Rows are named by any key without NULL."""
    kinds = [data.draw(_present) for _ in key]
    rows = data.draw(st.lists(st.tuples(*kinds), min_size=1, max_size=8))
    found = delete_texts(delete_pieces(table, tuple(key)), list(zip(*rows, strict=True)))
    assert found == [render_delete(table, key, row) for row in rows]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_records(statements: list[bytes]) -> None:
    """The records of many statements are those of each."""
    assert encode_v2_all(statements) == b"".join(map(encode_v2, statements))

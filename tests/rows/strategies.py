"""Random names, values and changes."""

from __future__ import annotations

from hypothesis import strategies as st

from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.values import RawText, RowValue

_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
names = st.one_of(
    st.sampled_from(
        ["t", "id", "name", "order", "rowid", "Größe", 'a"b', "x)VALUES(1", "a=1", "A", "1a", "a b", "user"]
    ),
    st.text(_characters, min_size=1, max_size=12),
)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


raw_texts = st.binary(min_size=1, max_size=8).filter(lambda content: not _is_utf8(content)).map(RawText)
values: st.SearchStrategy[RowValue] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(
        [0, -1, 2**63 - 1, -(2**63), 0.0, -0.0, 1e300, 5e-324, float("inf"), float("-inf"), 1e16, 0.1]
    ),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.sampled_from(["", "'", "''", "it's", "a\0b", "\0", "); DROP TABLE t", "?", "é\n"]),
    st.binary(max_size=8),
    raw_texts,
)
origins = st.one_of(st.none(), st.integers(0, 2**64 - 1))


@st.composite
def changes(draw: st.DrawFn) -> RowChange:
    """Any change that `render` takes."""
    kind = draw(st.sampled_from(ChangeKind))
    table, origin = draw(names), draw(origins)
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    one_of = None
    if kind in (ChangeKind.INSERT, ChangeKind.UPDATE):
        columns = tuple(draw(st.lists(names, min_size=1, max_size=4)))
    if kind in (ChangeKind.UPDATE, ChangeKind.DELETE):
        key = tuple(draw(st.lists(names, min_size=1, max_size=3)))
        one_of = draw(st.sampled_from([None, None, "rowid", "_rowid_", "oid"]))
    given = [tuple(draw(st.lists(values, min_size=len(of), max_size=len(of)))) for of in (columns, key)]
    return RowChange(kind, table, columns, given[0], key, given[1], one_of, origin)

"""Canonical text read back: what is exactly such a text is recognised, and nothing else."""

from __future__ import annotations

import contextlib

import apsw
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.rows.changes import RowChange
from spgrepl.rows.recognise import Recogniser, recognise
from spgrepl.rows.render import render
from spgrepl.rows.values import RowValue
from tests.rows.forms import FORMS, INSERT, ROW, UPDATE, exact
from tests.rows.strategies import changes, values

OTHER_TEXTS = [
    b"",
    b"DELETE FROM t ",
    b"DELETE FROM t WHERE id = 7",
    b"DELETE FROM t WHERE id=7;",
    b"DELETE FROM t WHERE id=NULL",
    b"DELETE FROM t WHERE id=07",
    b"DELETE FROM t WHERE id=7 OR 1",
    b"DELETE FROM t WHERE id=7 AND typeof(id)='integer'",
    b"DELETE FROM t WHERE rowid=(SELECT min(rowid)FROM u WHERE a IS NULL)",
    b"delete from t",
    b"INSERT INTO t(id,name)VALUES(7)",
    b"INSERT INTO t(id,name)VALUES(7,'x'),(8,'y')",
    b"INSERT INTO t(id,name)VALUES(7,'x','y')",
    b"INSERT INTO t(id,name)VALUES(7,'x') /* origin 012 */",
    b"INSERT INTO t(id,name)VALUES(7,'x') /* origin 0123456789ABCDEF */",
    b"INSERT INTO t(id,name)VALUES(7,'x'",
    b"INSERT INTO t(id,name)VALUES(7,'x)",
    b"INSERT INTO t(id,name)VALUES(7,'\xff')",
    b"INSERT INTO t(id,name)VALUES(7,'\x00')",
    b"INSERT INTO t(id,name)VALUES(1.50,9223372036854775808)",
    b"INSERT INTO t(id,name)VALUES(-0,1)",
    b"INSERT INTO t(id,name)VALUES(1e999,1)",
    b"INSERT INTO t(id,name)VALUES(" + b"1" * 10_000 + b",1)",
    b"INSERT INTO t(id,name)VALUES(x'FF',1)",
    b"INSERT INTO t(id,name)VALUES(x'f',1)",
    b"INSERT INTO t(id,name)VALUES(CAST(x'61' AS TEXT),1)",
    b"INSERT INTO t(id,name)VALUES(7,name)",
    b"INSERT INTO t VALUES(7,'x')",
    b'INSERT INTO "t"(id)VALUES(7)',
    b"INSERT INTO T(id)VALUES(7)",
    b"INSERT INTO order(id)VALUES(7)",
    b'INSERT INTO "\xff"(id)VALUES(7)',
    b"UPDATE t SET a=1",
    b"UPDATE t SET WHERE id=7",
    b"UPDATE t SET a=1, b=2 WHERE id=7",
    b"UPDATE t SET a=1,b=2,WHERE id=7",
    b"UPDATE t SET a=a WHERE id=7",
]


@pytest.mark.parametrize("text", OTHER_TEXTS)
def test_other_text_is_not_recognised(text: bytes) -> None:
    reader = Recogniser()
    assert reader.read(text) is None
    for change, canonical in FORMS:  # nor where the shape is known
        assert (found := reader.read(canonical)) is not None
        assert found.change() == change
    assert reader.read(text) is None


@given(st.lists(changes(), min_size=1, max_size=4))
def test_every_change_reads_back_as_it_was(some: list[RowChange]) -> None:
    reader = Recogniser()
    for _ in range(2):  # the second time the shapes are known
        for change in some:
            found = reader.read(render(change))
            assert found is not None
            assert exact(attrs.astuple(found.change(), recurse=False)) == exact(
                attrs.astuple(change, recurse=False)
            )


@given(changes(), st.data())
def test_what_is_recognised_is_canonical(change: RowChange, data: st.DataObject) -> None:
    """Texts close to canonical ones: either they are not recognised, or they are what `render` writes."""
    text = render(change)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 2))
    put = data.draw(
        st.sampled_from([b"", b" ", b"'", b'"', b"0", b",1", b")", b"=", b"NULL", b"--", b";", b"\0", b"\xff"])
    )
    reader = Recogniser()
    reader.read(text)
    for changed in (text[:at] + put + text[at + cut :], text + put):
        found = reader.read(changed)
        assert found is None or render(found.change()) == changed


def test_a_row_of_very_many_columns() -> None:
    columns = tuple(f"c{number}" for number in range(2000))
    change = RowChange(INSERT, "t", columns, ("x",) * 2000)
    reader = Recogniser()
    for _ in range(2):
        found = reader.read(render(change))
        assert found is not None
        assert found.change() == change
    wide = RowChange(UPDATE, "t", columns, (1,) * 2000, ("id",), (1,))
    assert recognise(render(wide)) == wide
    assert recognise(render(change)[:-1]) is None


# -- runs -----------------------------------------------------------------------------------------------------


def test_a_run_ends_where_another_statement_begins() -> None:
    texts = [render(attrs.evolve(ROW, values=(number, "it's"))) for number in range(3)]
    texts.append(b"INSERT INTO t(id,name)VALUES(3,lower('X'))")
    texts += [render(attrs.evolve(ROW, values=(number, None), origin=5)) for number in (4, 5)]
    reader = Recogniser()
    run = reader.read_run(texts, 0)
    assert run is not None
    assert (run.count, run.rows) == (3, b"(0,'it''s'),(1,'it''s'),(2,'it''s')")
    assert reader.read_run(texts, 2) is None
    assert reader.read_run(texts, 3) is None
    run = reader.read_run(texts, 4)
    assert run is not None
    assert run.count == 2
    assert recognise(b"INSERT INTO t(id,name)VALUES" + run.rows[: run.rows.index(b",(")]) is not None


def test_statements_cannot_run_into_each_other() -> None:
    head = b"INSERT INTO t(id,name)VALUES("
    reader = Recogniser()
    for tails in ([b"1,'x", b"y')"], [b"1,'x'),(2,'y')", b"3,'z')"], [b"1,'a')\0", b"2,'b')"]):
        assert reader.read_run([head + tail for tail in tails], 0) is None


@given(st.lists(st.tuples(values, values), min_size=2, max_size=6), st.booleans())
def test_a_run_means_what_its_statements_mean(rows: list[tuple[RowValue, RowValue]], origin: bool) -> None:
    texts = [
        render(RowChange(INSERT, "t", ("a", "b"), row, origin=7 if origin and number % 2 else None))
        for number, row in enumerate(rows)
    ]
    query = "SELECT rowid, typeof(a), CAST(a AS BLOB), typeof(b), CAST(b AS BLOB) FROM t ORDER BY rowid"
    run = Recogniser().read_run(texts, 0)
    casts = [b"CAST(" in text for text in texts]
    if run is None:
        assert any(casts[:2])
        return
    assert not any(casts[: run.count])
    assert run.count == (casts.index(True) if any(casts) else len(texts))
    contents = []
    for script in ([text.decode() for text in texts[: run.count]], ["INSERT INTO t VALUES" + run.rows.decode()]):
        with contextlib.closing(apsw.Connection(":memory:")) as connection:
            connection.execute("CREATE TABLE t(a,b)")
            for text in script:
                connection.execute(text)
            contents.append(connection.execute(query).fetchall())
    assert contents[0] == contents[1]

"""Publications that follow a table to its new name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.definitions import TableFilter
from spgrepl.catalogue.renames import text_of
from spgrepl.catalogue.statements import CreatePublication, DropPublication, Scope, parse_catalog_change
from spgrepl.sqlite.database_copy import save_database
from tests.primary.copying import opened, rows_of

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
publications = st.one_of(
    st.builds(DropPublication, names),
    st.builds(CreatePublication, names, st.just(Scope.ALL)),
    st.builds(
        CreatePublication,
        names,
        st.sampled_from([Scope.ONLY, Scope.EXCEPT]),
        st.lists(names, min_size=1, max_size=3, unique=True).map(tuple),
    ),
)


@given(publications)
def test_the_text_states_the_change(change: DropPublication | CreatePublication) -> None:
    """Whatever characters its names have."""
    assert parse_catalog_change(text_of(change)) == change


def test_a_publication_follows_a_table(tmp_path: Path) -> None:
    """In the database and in the log, whatever the case in which the table is named; not when it is undone."""
    with opened(tmp_path, 'CREATE TABLE "Orders" (a)', "CREATE TABLE u (a)") as writer:
        for sql in (
            "CREATE PUBLICATION one FOR TABLE u, orders",
            "CREATE PUBLICATION rest FOR ALL TABLES EXCEPT orders",
            "CREATE PUBLICATION other FOR TABLE u",
            "CREATE PUBLICATION every",
        ):
            writer.execute(sql)
        before = len(writer.logged())
        writer.transaction("SAVEPOINT s", "ALTER TABLE orders RENAME TO gone", "ROLLBACK TO s")
        writer.execute("ALTER TABLE main.'ORDERS' RENAME TO \"New orders\"")
        assert writer.logged()[before:] == [
            "BEGIN",
            "ALTER TABLE main.'ORDERS' RENAME TO \"New orders\"",
            'DROP PUBLICATION "one"',
            'CREATE PUBLICATION "one" FOR TABLE "u", "New orders"',
            'DROP PUBLICATION "rest"',
            'CREATE PUBLICATION "rest" FOR ALL TABLES EXCEPT "New orders"',
            "COMMIT",
        ]
        assert [row[0] for row in writer.execute("SHOW PUBLICATIONS").results[0].rows] == [
            "every",
            "one",
            "other",
            "rest",
        ]
        save_database(writer.paths.database, tmp_path / "saved.db")
    assert rows_of(tmp_path / "saved.db", "SELECT tables FROM spgrepl_publications WHERE name = 'one'") == [
        ('["u", "New orders"]',)
    ]


@pytest.mark.parametrize("tables", [set(), {"sqlite_sequence"}, {"t"}, {"t", "sqlite_sequence"}])
def test_the_tables_of_sqlite_are_not_published(tables: set[str]) -> None:
    """Not even where all tables are."""
    assert TableFilter(inverted=True).accepts(frozenset(tables)) is ("t" in tables)
    assert not TableFilter(frozenset({"t"}), inverted=True).accepts(frozenset(tables))

"""The filter of one subscriber, while the publications change in the log."""

from __future__ import annotations

from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import CreatePublication, Scope
from spgrepl.master.judged.cutting import PieceCutter, work_through
from spgrepl.master.judged.pieces import Piece, Reason
from spgrepl.master.judged.selection import Selection
from tests.log.transactions.batches import batch

ROWS = tuple(f"INSERT INTO {table} VALUES (1)" for table in "abc")
DROP = "DROP PUBLICATION p"
AGAIN = "CREATE PUBLICATION p FOR TABLE b"


def published(**tables: str) -> Publications:
    found = Publications()
    for name, table in tables.items():
        found = found.after(CreatePublication(name, Scope.ONLY, (table,)))
    return found


def piece(*texts: str) -> Piece:
    data = batch(*texts).data
    cutter = PieceCutter(lambda: len(data), max_record=1000)
    found = work_through(cutter.build(0, None), lambda start, size: data[start : start + size])
    assert found is not None
    return found


def tables_taken(selection: Selection, found: Piece) -> list[tuple[list[str], int, int]]:
    return [
        ([table for table in "abc" if wanted.accepts(frozenset({table}))], first, stop)
        for wanted, first, stop in selection.parts(found)
    ]


def test_one_filter_for_all_where_nothing_changes() -> None:
    selection = Selection(("p",))
    selection.begin(published(p="a", q="b"), 0)
    assert tables_taken(selection, piece(*ROWS)) == [(["a"], 0, 3)]
    assert selection.unknown == ()


def test_no_publication_at_all_means_every_table() -> None:
    selection = Selection(())
    selection.begin(published(p="a"), 0)
    assert tables_taken(selection, piece(*ROWS)) == [(["a", "b", "c"], 0, 3)]


def test_a_change_takes_effect_where_it_stands() -> None:
    selection = Selection(("p",))
    selection.begin(published(p="a"), 0)
    found = piece(ROWS[0], DROP, ROWS[1], AGAIN, ROWS[1])
    assert tables_taken(selection, found) == [(["a"], 0, 2), ([], 2, 4), (["b"], 4, 5)]


def test_changes_in_front_of_the_handshake_are_known_already() -> None:
    found = piece(ROWS[0], AGAIN, ROWS[1])
    selection = Selection(("p",))
    selection.begin(published(p="b"), found.end)
    assert tables_taken(selection, found) == [(["b"], 0, 3)]


def test_tables_that_nobody_could_ask_for_are_those_of_unknown_publications() -> None:
    selection = Selection(("x", "y"))
    selection.begin(published(y="a"), 0)
    assert selection.unknown == ("x",)
    assert selection.named(Reason.OTHER_TABLE) is Reason.OTHER_TABLE
    selection.begin(published(p="a"), 0)
    assert selection.unknown == ("x", "y")
    assert selection.named(Reason.OTHER_TABLE) is Reason.UNKNOWN_PUBLICATION
    assert selection.named(Reason.DDL) is Reason.DDL

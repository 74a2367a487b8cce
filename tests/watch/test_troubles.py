"""The errors of a service: the present one, those before it, and how many there were."""

from __future__ import annotations

from spgrepl.errors import EngineFailed, PeerClosed, PeerTimeout, ReplayStopped
from spgrepl.watch.status import NO_FAULT, Fault, to_json
from spgrepl.watch.troubles import MOST_KEPT, Complaint, Troubles, described_error


def test_an_error_is_counted_once_while_it_stays() -> None:
    now = [100.0]
    troubles = Troubles(lambda: now[0])
    error = PeerClosed("gone")
    troubles.set(error)
    troubles.set(error)
    assert troubles.now is error
    assert troubles.counts == {"peer_closed": 1}
    troubles.set(None)
    assert troubles.now is None
    assert troubles.counts == {"peer_closed": 1}


def test_an_error_that_repeats_is_counted_and_kept_once() -> None:
    now = [100.0]
    troubles = Troubles(lambda: now[0])
    for _ in range(3):
        troubles.set(PeerClosed("gone"))
        now[0] += 5
    (kept,) = to_json(troubles.describe())["last"]
    assert (kept["kind"], kept["text"], kept["times"]) == ("peer_closed", "gone", 3)
    assert (kept["first"], kept["last"]) == (100.0, 110.0)
    assert to_json(troubles.describe())["by_kind"] == {"peer_closed": 3}


def test_the_newest_error_comes_first_and_the_number_is_bounded() -> None:
    troubles = Troubles()
    for number in range(MOST_KEPT + 5):
        troubles.set(EngineFailed(f"error {number}"))
    last = to_json(troubles.describe())["last"]
    assert len(last) == MOST_KEPT
    assert last[0]["text"] == f"error {MOST_KEPT + 4}"


def test_a_refused_row_is_named_by_table_and_key() -> None:
    troubles = Troubles()
    sql = "INSERT INTO notes(id,text)VALUES(7,'seven')"
    troubles.set(ReplayStopped(400, 0xABCD, sql, "UNIQUE constraint failed: notes.id"))
    (kept,) = to_json(troubles.describe())["last"]
    assert (kept["position"], kept["record"]) == (400, sql)
    assert (kept["table"], kept["key"]) == ("notes", "id=7, text='seven'")


def test_a_refused_statement_has_a_record_and_no_table() -> None:
    troubles = Troubles()
    troubles.set(ReplayStopped(400, 1, "CREATE TABLE t (a" + ", b" * 300, "syntax error"))
    (kept,) = to_json(troubles.describe())["last"]
    assert (kept["table"], kept["key"]) == (None, None)
    assert kept["record"].endswith("…")
    assert len(kept["record"]) == 301


def test_an_error_at_a_record_is_over_with_that_record() -> None:
    troubles = Troubles()
    troubles.set(ReplayStopped(400, 1, "X", "no"))
    troubles.applied(400, moved=True)
    assert troubles.now is not None
    troubles.applied(401, moved=True)
    assert troubles.now is None


def test_another_error_is_over_when_anything_is_applied() -> None:
    troubles = Troubles()
    troubles.set(EngineFailed("full"))
    troubles.applied(400, moved=False)
    assert troubles.now is not None
    troubles.applied(400, moved=True)
    assert troubles.now is None


def test_errors_of_a_kind_are_over() -> None:
    troubles = Troubles()
    troubles.set(PeerTimeout("slow"))
    troubles.over(PeerClosed)
    assert troubles.now is not None
    troubles.over(PeerClosed, PeerTimeout)
    assert troubles.now is None


def test_the_first_error_is_described() -> None:
    other = Fault("x", "log")
    assert described_error(None, EngineFailed("full"), other) == Fault("full", "engine_failed")
    assert described_error(None, other) == other
    assert described_error(NO_FAULT, Complaint("silent", "quiet")).error_kind == "silent"
    assert described_error(None) == NO_FAULT

"""The database of a running server, by what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spgrepl.base.histories import History
from spgrepl.comparing.ends import Standing
from spgrepl.comparing.table_reader import KeyRange, Layout
from spgrepl.errors import ConfigurationError, EngineFailed, SpgReplError, UsageError
from spgrepl.server.comparing import remote_end
from spgrepl.server.comparing import values as said
from spgrepl.server.comparing.remote_end import RemoteEnd
from spgrepl.server.status.client import StatusAddress

ADDRESS = StatusAddress("host", 7434)
LAYOUT = Layout("t", ("a",), ("a", "b"), 1)


class Answers:
    """A server that answers what a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.next: list[tuple[int, dict[str, Any]]] = [(200, {"session": "s", "kind": "sqlite"})]

    def __call__(self, address: StatusAddress, path: str, _timeout: float, order: str) -> tuple[int, Any]:
        assert (address, path) == (ADDRESS, "/compare")
        self.asked.append(json.loads(order))
        return self.next.pop(0) if self.next else (200, {})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers()
    monkeypatch.setattr(remote_end, "ask", made)
    return made


@pytest.fixture
def end(server: Answers) -> RemoteEnd:
    return RemoteEnd(ADDRESS, 5.0)


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (404, UsageError, "has no database that can be compared"),
        (405, UsageError, "has no database that can be compared"),
        (401, UsageError, "http://host:7434: why"),
        (409, ConfigurationError, "http://host:7434: why"),
        (503, EngineFailed, "http://host:7434: why"),
    ],
)
def test_each_refusal_is_an_error_of_its_kind(
    server: Answers, code: int, kind: type[SpgReplError], message: str
) -> None:
    server.next = [(code, {"error": "why"})]
    with pytest.raises(kind, match=message):
        RemoteEnd(ADDRESS, 5.0)


def test_a_server_of_another_kind_that_answers_all_is_named(server: Answers) -> None:
    server.next = [(200, {"ok": True})]
    with pytest.raises(UsageError, match="has no database that can be compared"):
        RemoteEnd(ADDRESS, 5.0)


def test_it_stands_where_the_server_says(server: Answers, end: RemoteEnd) -> None:
    standing = Standing(77, (History("a" * 32, 3),))
    server.next = [(200, said.standing_to_json(standing)), (200, {"position": 80})]
    assert (end.stands(), end.look(), str(end)) == (standing, 80, "http://host:7434")
    assert [one["session"] for one in server.asked] == ["", "s", "s"]


def test_what_is_held_is_let_go_whatever_happens(server: Answers, end: RemoteEnd) -> None:
    with pytest.raises(KeyError), end.holding():
        raise KeyError
    assert [(one["do"], one.get("seconds")) for one in server.asked[1:]] == [("hold", 5.0), ("release", None)]


def test_rows_come_in_several_answers(server: Answers, end: RemoteEnd) -> None:
    pages = [[(1, "a"), (2, b"\0")], [(3, None)]]
    server.next = [
        (200, {"rows": [said.row_to_json(row) for row in page], "more": page is pages[0]}) for page in pages
    ]
    assert list(end.reader.read(LAYOUT, KeyRange((0,), (9,)))) == pages
    assert [one["after"] for one in server.asked[1:]] == [0, 2]


def test_keys_at_which_ranges_are_cut_go_on_after_the_last_one(server: Answers, end: RemoteEnd) -> None:
    server.next = [(200, {"keys": [[5], [10]], "more": True}), (200, {"keys": [["x"]], "more": False})]
    assert list(end.reader.stops(LAYOUT, KeyRange())) == [(5,), (10,), ("x",)]
    assert [one["range"][0] for one in server.asked[1:]] == [None, [10]]


def test_tables_that_do_not_fit_say_why(server: Answers, end: RemoteEnd) -> None:
    server.next = [
        (200, {"tables": [said.layout_to_json(LAYOUT)]}),
        (200, {"unlike": "it has other columns", "table": None}),
        (200, {"unlike": None, "table": said.layout_to_json(LAYOUT)}),
        (200, {"sums": [[3, "abc"]]}),
        (200, {"rows": 12}),
    ]
    assert end.reader.layouts(["t"]) == {"t": LAYOUT}
    assert end.reader.fit(LAYOUT) == "it has other columns"
    assert end.reader.fit(LAYOUT) == LAYOUT
    assert end.reader.sums(LAYOUT, [KeyRange()]) == [(3, "abc")]
    assert end.reader.count(LAYOUT) == 12

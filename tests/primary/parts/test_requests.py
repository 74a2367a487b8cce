"""What callers ask of a primary."""

from __future__ import annotations

import pytest

from spgrepl.primary.parts.requests import Applied, Request, are_texts


@pytest.mark.parametrize(
    ("request_", "plain"),
    [
        (Request(("a",)), True),
        (Request(("a",), parameters=((1,),)), True),
        (Request(("a", "b"), transaction=True), False),
        (Request(("a",), rows=((1,), (2,))), False),
    ],
)
def test_plain_is_one_statement_that_is_run_once(request_: Request, plain: bool) -> None:
    assert request_.plain is plain


def test_the_size_is_that_of_texts_and_values() -> None:
    assert Request(("abc", "de"), transaction=True).size == 5
    assert Request(("abc",), parameters=(None,)).size == 3
    assert Request(("abc",), parameters=((1, "four", b"x"),)).size == 3 + 3 * 8 + 5
    assert Request(("abc",), parameters=({"a": "four"},)).size == 3 + 8 + 4
    assert Request(("abc",), rows=((1,), ("four",), ())).size == 3 + 8 + 12


def test_the_values_for_the_first_statement() -> None:
    assert Request(("a",)).parameter is None
    assert Request(("a", "b"), transaction=True, parameters=((1,), None)).parameter == (1,)


def test_what_changed_nothing_is_not_logged() -> None:
    assert Applied(3, 5, ()).logged
    assert not Applied(3, 3, ()).logged


def test_statements_are_texts() -> None:
    class Text(str):
        __slots__ = ()

    assert are_texts(["a", Text("b")])
    assert are_texts([])
    assert not are_texts(["a", b"b"])

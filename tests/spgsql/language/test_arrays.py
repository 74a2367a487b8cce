"""The text of an array."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.arrays import read_array


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", []),
        (" { } ", []),
        ("{1,2}", ["1", "2"]),
        ("{a b , NULL,null}", ["a b", None, None]),
        ('{"NULL","a,b","{c}"}', ["NULL", "a,b", "{c}"]),
        (r'{"a\"b","c\\d"}', ['a"b', "c\\d"]),
        ("{{1,2},{3}}", [["1", "2"], ["3"]]),
        ('{"",x}', ["", "x"]),
    ],
)
def test_what_is_one(text: str, value: list[object]) -> None:
    assert read_array(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "1", "{", "}", "{1", "{1,}", "{,1}", "{1}{2}", "{1} x", '{"a}', "{1 {2}}", '{"a"b}', "{{1}2}", "{a\\b}"],
)
def test_what_is_none(text: str) -> None:
    assert read_array(text) is None

"""What is asked of the statements of many records at once, whoever holds them."""

from __future__ import annotations

import pytest

from spgrepl.compiled.texts import Texts, ending_with, front_of, has_empty, is_compiled, part_of, with_semicolon
from spgrepl.log.format.records import encode_checkpoint
from tests.log.transactions.batches import batch

SQL = ["INSERT INTO t VALUES (1)", "SELECT 1; SELECT 2", None, "SELECT 3;"]


def held() -> Texts:
    """As a batch holds them: the compiled core, where there is one."""
    return batch(*(encode_checkpoint(0) if text is None else text for text in SQL)).sql


def listed() -> Texts:
    return [None if text is None else text.encode() for text in SQL]


@pytest.mark.parametrize("make", [held, listed])
def test_both_forms_answer_alike(make: object) -> None:
    assert callable(make)
    texts: Texts = make()
    assert list(texts) == listed()
    assert with_semicolon(texts, 4) == [1, 3]
    assert with_semicolon(texts, 3) == [1]
    assert with_semicolon(front_of(texts, 1), 1) == []
    assert list(front_of(texts, 2)) == list(listed()[:2])
    assert list(part_of(texts, 1, 4)) == list(listed()[1:4])
    assert ending_with(texts, b";") == [3]
    assert ending_with(texts, b"2") == [1]
    assert ending_with(texts, b"x)") == ending_with(texts, b"x") == []
    assert list(part_of(texts, 0, 4)) == listed()


def test_a_list_is_not_compiled() -> None:
    assert not is_compiled(listed())


@pytest.mark.parametrize("empty", [True, False])
def test_an_empty_one_is_found(empty: bool) -> None:
    texts = ["INSERT INTO t VALUES (1)", "" if empty else "SELECT 1"]
    for form in (batch(*texts).sql, [text.encode() for text in texts]):
        assert has_empty(form) is empty  # type: ignore[arg-type]

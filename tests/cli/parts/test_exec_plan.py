"""Statements as steps: each of them is in one, in its order; the rest of it is in `tests/cli/test_exec.py`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.cli.parts import exec_plan
from spgrepl.cli.parts.exec_plan import Step, Steps, plan, script_pieces
from spgrepl.errors import UsageError

SQL = [
    "INSERT INTO t VALUES (1)",
    "SELECT 1",
    "CREATE TABLE u (a)",
    "SELECT changes()",
    "PRAGMA foreign_keys = ON",
]
MORE = [
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "BEGIN IMMEDIATE",
    "END",
    "SHOW PUBLICATIONS",
    "CREATE PUBLICATION p FOR ALL TABLES",
]


def statements_of(step: Step) -> int:
    """How many statements a step stands for, its brackets among them."""
    if step.request is not None and step.request.transaction:
        return len(step.request.statements) + 2
    return 1 if step.dropped is None else step.dropped + 2


@settings(max_examples=60)
@given(st.lists(st.sampled_from(SQL + MORE), max_size=12))
def test_each_statement_is_in_one_step(statements: list[str]) -> None:
    at = 1
    for step in plan(statements):
        # An empty transaction adds no step.
        while at < step.number:
            assert statements[at - 1].startswith("BEGIN")
            assert statements[at] in ("COMMIT", "END")
            at += 2
        assert (step.number, step.sql) == (at, statements[at - 1])
        at = len(statements) + 1 if step.refusal and "never ended" in step.refusal else at + statements_of(step)
    assert all(one.startswith(("BEGIN", "COMMIT", "END")) for one in statements[at - 1 :])


def test_what_the_last_write_did_is_asked_of_the_writer() -> None:
    steps = list(plan(["SELECT changes()", "INSERT INTO t VALUES (1)", "SELECT changes()", "SELECT 1"]))
    assert [step.request is None for step in steps] == [True, False, False, True]


def test_steps_ahead_are_looked_at_and_not_taken() -> None:
    steps = Steps(plan(SQL))
    assert [step.number for step in steps.ahead()] == [1, 2, 3, 4, 5]
    first = next(iter(steps))
    assert first.number == 1
    steps.put_first(first)
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert not steps


def test_only_what_is_looked_at_is_made() -> None:
    made: list[str] = []

    def statements() -> Any:
        for sql in SQL:
            made.append(sql)
            yield sql

    steps = Steps(plan(statements()))
    assert steps
    assert made == SQL[:1]


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_a_script_is_read_in_pieces_whatever_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """What is not UTF-8 stays, for its statement to be refused by number."""
    monkeypatch.setattr(exec_plan, "_PIECE", piece)
    content = b"\xef\xbb\xbfINSERT INTO t VALUES ('\xc3\xa9\xff');\nSELECT 1;"
    expected = content[3:].decode("utf-8", "surrogateescape")
    path = tmp_path / "a.sql"
    path.write_bytes(content)
    assert "".join(script_pieces(path)) == expected
    given_input = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", given_input)
    assert "".join(script_pieces(Path("-"))) == expected
    assert not given_input.closed


def test_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        script_pieces(Path("-"))

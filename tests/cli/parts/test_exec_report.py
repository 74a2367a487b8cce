"""What ``spgrepl exec`` says of statements that did not just succeed."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.cli.parts import exec_report
from spgrepl.cli.parts.exec_plan import Step
from spgrepl.cli.parts.exec_report import StepFailed, report, report_all, shared_fate
from spgrepl.errors import EngineFailed, LoggedNotApplied, OutcomeUnknown, SpgReplError, StatementFailed
from spgrepl.primary.parts.requests import Request

SQL = "INSERT INTO t\n  VALUES (1)"


def step(number: int = 3, *inside: str) -> Step:
    request = Request(inside, transaction=True) if inside else Request((SQL,))
    return Step(number, "BEGIN" if inside else SQL, request)


def said(error: SpgReplError, one: Step, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(StepFailed) as caught:
        report(one, error)
    assert (caught.value.exit_code, caught.value.last) == (error.exit_code, one)
    return capsys.readouterr().err


def test_a_statement_is_named_by_its_number_and_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(StatementFailed("no such table", SQL), step(), capsys)
    assert told == "spgrepl: statement 3 failed: no such table\n  INSERT INTO t VALUES (1)\n"


def test_one_inside_a_transaction_is_counted_from_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(StatementFailed("no such table", "b", 2), step(10, "a", "b"), capsys)
    assert told.startswith("spgrepl: statement 12 failed: no such table\n  b\n")
    assert told.endswith("Nothing of its transaction was run.\n")


def test_what_may_have_been_done_is_not_said_to_have_failed(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(OutcomeUnknown("the disk"), step(10, "a", "b"), capsys)
    assert "statement 10 may have been done or not (the disk)" in told
    assert "Nothing of its transaction" not in told


def test_long_text_is_cut_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(StatementFailed("why", "SELECT '\x1b[2J" + "x" * 500), step(), capsys)
    assert "\x1b" not in told
    assert len(told) < 300
    assert "…" in told


def test_statements_share_a_fate_where_they_have_one_answer() -> None:
    error = EngineFailed("full")
    two = [step(1), step(2)]
    assert shared_fate(two, [error, error]) is error
    assert shared_fate(two, [error, EngineFailed("full")]) is None
    assert shared_fate(two, [error]) is None
    assert shared_fate(two[:1], [error]) is None
    answer = object()
    assert shared_fate(two, [answer, answer]) is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EngineFailed("full"), "none of these was done"),
        (OutcomeUnknown("x"), "each of these may have been done or not"),
    ],
)
def test_all_that_share_it_are_named(error: SpgReplError, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailed) as caught:
        report_all([step(1), step(2)], error)
    assert caught.value.last.number == 2
    told = capsys.readouterr().err
    assert text in told
    assert told.count("  statement ") == 2


def test_what_else_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    exec_report.say_logged(step(), LoggedNotApplied("it follows", 77))
    exec_report.say_not_run([])
    exec_report.say_not_run([step(5)])
    exec_report.say_not_run([step(5), step(6)])
    exec_report.say_source(Path("-"), 0)
    exec_report.say_source(Path("a.sql"), 2)
    exec_report.say_warning("careful")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "spgrepl: statement 3 is done, at position 77: it follows",
        "  INSERT INTO t VALUES (1)",
        "Not run: statement 5.",
        "Not run: statement 5 and those after it.",
        "The statements are those of standard input.",
        "The statements are those of a.sql, after those of the command line.",
        "spgrepl: warning: careful",
    ]

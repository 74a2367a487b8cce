"""Options whose help every terminal shows."""

from __future__ import annotations

import sys

import pytest
from twisted.python import usage

import spgrepl
from spgrepl.server.plain_usage import PlainUsage


class Inner(PlainUsage):
    """Options of a role."""

    synopsis = "twistd spgrepl inner [options]"
    optParameters = [["db", None, None, "Where – or “what” … it is."]]  # noqa: RUF012, N815 - Twisted's


class Outer(PlainUsage):
    """Options that have a role's."""

    synopsis = "twistd spgrepl ROLE"
    subCommands = [["inner", None, Inner, "It."]]  # noqa: RUF012, N815 - Twisted's


def test_the_synopsis_is_that_of_the_role_alone() -> None:
    outer = Outer()
    outer.parseOptions(["inner"])
    assert str(outer.subOptions).startswith("Usage: twistd spgrepl inner [options]\n")


def test_help_is_ascii_where_nothing_else_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "–" in str(Inner())
    with open("/dev/null", "w", encoding="ascii") as output:
        monkeypatch.setattr(sys, "stdout", output)
        shown = str(Inner())
    assert shown.isascii()
    assert '"what" ... it is.' in shown


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        Inner().parseOptions(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"spgrepl {spgrepl.__version__} (Twisted ")


def test_unknown_options_are_refused() -> None:
    with pytest.raises(usage.UsageError):
        Inner().parseOptions(["--nothing"])

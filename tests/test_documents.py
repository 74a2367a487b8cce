"""What the documents say can be typed: every command line is understood, every option is explained."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from spgrepl import cli
from spgrepl.tap import FollowerOptions, MasterOptions, Options, SubscriberOptions

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OPERATING = (ROOT / "docs" / "operating.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LINES = [line for block in SHELL for line in block.splitlines()]


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def test_there_are_two_commands_to_set_up() -> None:
    assert re.findall(r"^<!-- (\w+) command -->\n```sh\n(.*)\n```$", README, re.MULTILINE) == [
        ("demo", "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/spgrepl demo"),
        ("test", "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"),
    ]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("twistd ")])
def test_servers_are_started_as_shown(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = words(line)
    Options().parseOptions(given[given.index("spgrepl") + 1 :])


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("spgrepl ")])
def test_commands_are_given_as_shown(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spgrepl.cli.wal.run", lambda _: 7)
    monkeypatch.setattr("spgrepl.cli.wait.run", lambda _: 7)
    monkeypatch.setattr("spgrepl.cli.compare.run", lambda _: 7)
    monkeypatch.setattr("spgrepl.cli.exec.run", lambda _: 7)
    monkeypatch.setattr("spgrepl.cli.segments.run", lambda _: 7)
    monkeypatch.setattr("spgrepl.cli.filter_test.run", lambda _: 7)
    assert cli.main(words(line)[1:]) == 7


ROLES = {"master": MasterOptions, "follower": FollowerOptions, "subscriber": SubscriberOptions}


def option_names(options: Any) -> set[str]:
    """All long options of a role."""
    given = options()
    return {name.removesuffix("=") for name in given.longOpt} - {"help", "version"}


@pytest.mark.parametrize("role", ROLES)
def test_every_option_of_a_server_is_explained(role: str) -> None:
    for name in option_names(ROLES[role]):
        assert re.search(rf"^\|.*`[^`]*--{name}[ `]", OPERATING, re.MULTILINE), (role, name)


def test_no_option_is_explained_that_is_not_there() -> None:
    explained = set(re.findall(r"--([a-z][a-z-]*)", OPERATING[: OPERATING.index("## Status")])) - {
        "pidfile",
        "logfile",
    }
    assert explained == set().union(*map(option_names, ROLES.values()))


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "docs/operating.md", "docs/design.md", "docs/publications.md"]
)
def test_links_lead_to_files(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target

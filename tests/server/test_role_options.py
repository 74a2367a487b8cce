"""The options of each role: what is wrong with them is named before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python import usage

from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.server.role_options import FollowerOptions, MasterOptions, SubscriberOptions

NEEDED = {
    MasterOptions: ["--listen=unix:/run/x", "--db=a.db"],
    FollowerOptions: ["--master=h:1", "--db=a.db"],
    SubscriberOptions: ["--master=h:1", "--name=s", "--publication=p", "--db=a.db"],
}


def parsed(kind: Any, *words: str) -> Any:
    options = kind()
    options.parseOptions([*NEEDED[kind], *words])
    return options


@pytest.mark.parametrize("kind", NEEDED)
def test_what_a_role_cannot_do_without_is_named(kind: Any) -> None:
    for missing in NEEDED[kind]:
        options = kind()
        with pytest.raises(usage.UsageError, match=missing.partition("=")[0]):
            options.parseOptions([one for one in NEEDED[kind] if one != missing])


@pytest.mark.parametrize("kind", NEEDED)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["more"], "'more' belongs to no option"),
        (["--engine=oracle://x"], "is not built into this version"),
        (["--engine=nothing"], "the engine 'nothing' is unknown; there are sqlite"),
        (["--wal=./a.db"], "--wal and --db name the same file"),
    ],
)
def test_what_no_role_takes(kind: Any, words: list[str], message: str) -> None:
    if kind is SubscriberOptions and words[0].startswith("--wal"):
        return
    with pytest.raises(usage.UsageError, match=message):
        parsed(kind, *words)


def test_a_password_on_the_command_line_is_not_shown() -> None:
    with pytest.raises(usage.UsageError) as caught:
        parsed(FollowerOptions, "--engine=postgresql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_files_are_absolute_and_in_a_folder_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed(MasterOptions).paths().database == tmp_path / "a.db"
    with pytest.raises(ConfigurationError, match=r"there is no folder .*none; make it first"):
        parsed(MasterOptions, "--wal=none/a.wal").paths()


@pytest.mark.parametrize("words", [["--max-connections=-1"], ["--max-snapshots=x"], ["--stalled-reader=nan"]])
def test_limits_are_numbers_and_named_by_their_option(words: list[str]) -> None:
    with pytest.raises(UsageError, match=words[0].partition("=")[0]):
        parsed(MasterOptions, *words).limits()


@pytest.mark.parametrize("kind", NEEDED)
def test_a_role_is_made_of_them_and_starts_nothing(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    role = parsed(kind).role(Clock())
    assert not role.running
    assert kind.__name__.lower().startswith(role.kind)
    assert list(tmp_path.iterdir()) == []

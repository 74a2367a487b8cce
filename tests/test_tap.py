"""What users type behind ``twistd spgrepl``: roles, defaults, and refusals with exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from zope.interface.verify import verifyObject

from spgrepl import tap
from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.follower.states import OnDivergence
from spgrepl.service import FollowerRole, MasterRole, Role
from spgrepl.tap import FollowerOptions, MasterOptions, Options
from twisted.plugins import spgrepl_dropin


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(line: str) -> Any:
    options = Options()
    options.parseOptions(line.split())
    return options.subOptions


def role(line: str) -> Role:
    made: Role = parse(line).role(MemoryReactorClock())
    return made


MASTER = "master --listen 127.0.0.1:7433 --db a.db"
FOLLOWER = "follower --master localhost:7433 --db b.db"


def test_the_plugin_is_one() -> None:
    assert verifyObject(IServiceMaker, spgrepl_dropin.spgrepl)
    assert verifyObject(IPlugin, spgrepl_dropin.spgrepl)
    assert spgrepl_dropin.spgrepl.tapname == "spgrepl"
    assert spgrepl_dropin.spgrepl.options is Options


def test_a_master(folder: Path) -> None:
    made = role(MASTER)
    assert isinstance(made, MasterRole)
    settings = made._settings
    assert (settings.paths.database, settings.paths.wal) == (folder / "a.db", folder / "a.wal")
    assert (settings.engine, settings.http) == ("sqlite", None)


def test_the_limits_of_a_master(folder: Path) -> None:
    made = role(f"{MASTER} --max-connections 5 --max-snapshots 1 --stalled-reader 2.5 --max-record 1K")
    assert isinstance(made, MasterRole)
    limits = made._settings.limits
    assert (limits.connections, limits.snapshots, limits.stalled) == (5, 1, 2.5)
    assert made._settings.max_record == 1024


def test_files_are_named_from_where_the_command_was_given(folder: Path) -> None:
    made = role(f"{MASTER} --wal ./other.log")
    assert isinstance(made, MasterRole)
    assert made._settings.paths.wal == folder / "other.log"


@pytest.mark.parametrize("engine", ["sqlite", "archive", "counting"])
def test_a_follower(folder: Path, engine: str) -> None:
    made = role(f"{FOLLOWER} --engine {engine}")
    assert isinstance(made, FollowerRole)
    assert made.status()["engine"] == engine
    assert made.master is None


def test_a_follower_that_is_a_master_too(folder: Path) -> None:
    made = role(f"{FOLLOWER} --listen unix:here --stalled-reader 5 --http localhost:8080")
    assert isinstance(made, FollowerRole)
    assert made.master is not None
    assert made.http is not None


def test_what_a_follower_is_told(folder: Path) -> None:
    options = parse(f"{FOLLOWER} --on-divergence resnapshot --skip-at 622 --skip-crc 0BADF00D --max-frame 1M")
    made = options.role(MemoryReactorClock()).follower
    assert made._on_divergence is OnDivergence.RESNAPSHOT
    assert made._max_frame == 2**20
    assert (made._replay._skip.position, made._replay._skip.crc) == (622, 0x0BADF00D)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "say what to run: master or follower"),
        ("subscriber", "nknown command: subscriber"),
        ("master --db a.db", "--listen is missing"),
        ("master --listen localhost:1", "--db is missing"),
        ("follower --db b.db", "--master is missing"),
        ("follower --master localhost:1", "--db is missing"),
        (f"{MASTER} --wal-level logical", "option --wal-level not recognized"),
        (f"{MASTER} --engine counting", "the engine 'counting' is unknown; there are sqlite, archive"),
        (
            f"{FOLLOWER} --engine postgresql://h/d",
            "is not built into this version; there are sqlite, archive, counting",
        ),
        (f"{MASTER} more words", "'more words' belongs to no option"),
        (f"{MASTER} --wal a.db", "--wal and --db name the same file"),
        (f"{FOLLOWER} --skip-at 5", "--skip-at and --skip-crc belong together"),
        (f"{FOLLOWER} --skip-crc 5", "--skip-at and --skip-crc belong together"),
        (f"{FOLLOWER} --on-divergence go", "--on-divergence is stop or resnapshot, not 'go'"),
        (f"{FOLLOWER} --max-snapshots 3", "--max-snapshots is for followers of this follower; it needs --listen"),
        (f"{FOLLOWER} --engine counting --listen h:1", "only counts has no snapshot to give"),
    ],
)
def test_wrong_usage_is_64_and_says_why(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(line)
    assert stop.value.code == 64
    error = capsys.readouterr().err
    assert said in error
    assert "Usage: " in error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{MASTER} --stalled-reader soon", "--stalled-reader: 'soon' is no duration"),
        (f"{MASTER} --max-connections 0", "--max-connections: '0' is no number"),
        (f"{MASTER} --max-record huge", "--max-record: 'huge' is no size"),
        (f"{MASTER} --http nowhere", "--http: 'nowhere' is no endpoint to listen on"),
        ("master --db a.db --listen nowhere", "--listen: 'nowhere' is no endpoint to listen on"),
        ("master --db a.wal --listen h:1", "would have the same name: name another with --wal"),
        ("follower --db a.db --master nowhere", "--master: 'nowhere' is no endpoint to connect to"),
        (f"{FOLLOWER} --skip-at here --skip-crc 0", "--skip-at: 'here' is no position"),
        (f"{FOLLOWER} --skip-at 0 --skip-crc what", "--skip-crc: 'what' is no CRC-32"),
    ],
)
def test_a_value_that_does_not_fit_names_its_option(folder: Path, line: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        role(line)
    assert said in str(refused.value)


def test_a_folder_that_is_not_there_is_a_matter_of_configuration(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no folder"):
        role("master --listen h:1 --db nowhere/a.db")


@pytest.mark.parametrize(
    ("line", "code"), [(f"{MASTER} --http nowhere", 64), ("master --listen h:1 --db nowhere/a.db", 78)]
)
def test_the_process_ends_with_the_errors_code(
    folder: Path, line: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options()
    options.parseOptions(line.split())
    with pytest.raises(SystemExit) as stop:
        tap.makeService(options)
    assert stop.value.code == code
    assert capsys.readouterr().err.startswith("twistd spgrepl master: ")


@pytest.mark.parametrize("options", [MasterOptions, FollowerOptions])
def test_every_option_is_explained(options: type[Any]) -> None:
    for name, _, _, text in options.optParameters:
        assert text, name
        assert name in str(options()), name

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
from spgrepl.follower.replay import SkipRequest
from spgrepl.follower.states import OnDivergence
from spgrepl.role import Role
from spgrepl.service import FollowerRole, MasterRole
from spgrepl.subscriber.role import SubscriberRole
from spgrepl.tap import FollowerOptions, MasterOptions, Options, SubscriberOptions
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
SUBSCRIBER = "subscriber --master localhost:7433 --name s --publication p --db c.db"


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


def test_a_master_that_serves_subscribers(folder: Path) -> None:
    plain, made = role(MASTER), role(f"{MASTER} --wal-level logical --strict-publications")
    assert isinstance(plain, MasterRole)
    assert isinstance(made, MasterRole)
    assert (plain._settings.wal_level.value, plain._settings.strict_publications) == ("replica", False)
    assert (made._settings.wal_level.value, made._settings.strict_publications) == ("logical", True)
    follower = role(f"{FOLLOWER} --listen unix:here --wal-level logical")
    assert isinstance(follower, FollowerRole)
    assert follower._settings.wal_level.is_logical


def test_a_subscriber(folder: Path) -> None:
    made = role(f'{SUBSCRIBER} -p News -p "News" --skip-at 5 --skip-crc 0xff --on-error skip')
    assert isinstance(made, SubscriberRole)
    wanted = made._settings.subscription
    assert (wanted.name, wanted.publications) == ("s", ("p", "news", "News"))
    assert (wanted.copy_data, wanted.start, wanted.keep_refused) == (True, None, True)
    assert wanted.skip == SkipRequest(5, 255)
    assert made._settings.paths.database == folder / "c.db"


@pytest.mark.parametrize(
    ("line", "copies", "start"),
    [("", True, None), ("--no-copy-data", False, None), ("--start 48", False, 48)],
)
def test_how_a_subscription_begins(folder: Path, line: str, copies: bool, start: int | None) -> None:
    made = role(f"{SUBSCRIBER} {line}")
    assert isinstance(made, SubscriberRole)
    assert (made._settings.subscription.copy_data, made._settings.subscription.start) == (copies, start)


def test_a_subscriber_of_every_table_names_no_publication(folder: Path) -> None:
    made = role("subscriber --master h:1 --name s --all-tables --db c.db --engine counting")
    assert isinstance(made, SubscriberRole)
    assert made._settings.subscription.publications == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "say what to run: master, follower or subscriber"),
        ("publisher", "nknown command: publisher"),
        ("master --db a.db", "--listen is missing"),
        ("master --listen localhost:1", "--db is missing"),
        ("follower --db b.db", "--master is missing"),
        ("follower --master localhost:1", "--db is missing"),
        ("subscriber --master h:1 --db b.db --publication p", "--name is missing"),
        ("subscriber --master h:1 --name s --publication p", "--db is missing"),
        ("subscriber --master h:1 --name s --db b.db", "name the publications with --publication"),
        (f"{SUBSCRIBER} --all-tables", "name the publications with --publication"),
        (f"{SUBSCRIBER} --on-error go", "--on-error is stop or skip, not 'go'"),
        (f"{SUBSCRIBER} --skip-at 5", "--skip-at and --skip-crc belong together"),
        (f"{SUBSCRIBER} --engine archive", "the engine 'archive' is unknown; there are sqlite, counting"),
        (f"{FOLLOWER} --wal-level logical", "--wal-level is for subscribers of this follower; it needs --listen"),
        (f"{FOLLOWER} --strict-publications", "it needs --listen"),
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
        (f"{SUBSCRIBER} --start 0", "--start: position 0 cannot be asked for"),
        (f"{MASTER} --http nowhere", "--http: 'nowhere' is no endpoint to listen on"),
        ("master --db a.db --listen nowhere", "--listen: 'nowhere' is no endpoint to listen on"),
        ("master --db a.wal --listen h:1", "would have the same name: name another with --wal"),
        ("follower --db a.db --master nowhere", "--master: 'nowhere' is no endpoint to connect to"),
        (f"{FOLLOWER} --skip-at here --skip-crc 0", "--skip-at: 'here' is no position"),
        (f"{FOLLOWER} --skip-at 0 --skip-crc what", "--skip-crc: 'what' is no CRC-32"),
        (f"{MASTER} --wal-level loud", "--wal-level: 'loud' is no WAL level"),
        (f"{SUBSCRIBER} --start here", "--start: 'here' is no position"),
        (f'{SUBSCRIBER} --publication "p', "--publication: '\"p' is no name"),
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


@pytest.mark.parametrize("options", [MasterOptions, FollowerOptions, SubscriberOptions])
def test_every_option_is_explained(options: type[Any]) -> None:
    for name, _, _, text in options.optParameters:
        assert text, name
        assert name in str(options()), name

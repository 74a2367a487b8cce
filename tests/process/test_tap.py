"""What users type after ``twistd spgrepl``: roles, defaults, and refusals with exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from zope.interface.verify import verifyObject

import spgrepl
from spgrepl.access.tls import TlsClientEndpoint
from spgrepl.disk.file_lock import LockFile
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
from spgrepl.process import tap
from spgrepl.process.tap import FollowerOptions, MasterOptions, Options, SubscriberOptions
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.following.states import OnDivergence
from spgrepl.server.role import Role
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.server.subscriber_role import SubscriberRole, make_target
from spgrepl.spgsql.replay import Nondeterministic
from tests.access.authority import Authority
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


ROLES = ("master", "follower", "subscriber")
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
    assert made._following.on_divergence is OnDivergence.RESNAPSHOT
    assert made._following.max_frame == 2**20
    assert made._cold._without is False
    patient = parse(f"{FOLLOWER} --without-cold-rows").role(MemoryReactorClock()).follower
    assert patient._cold._without is True
    assert made._replay.execution._skip == (622, 0x0BADF00D)


def test_what_is_told_of_an_spg_server(folder: Path) -> None:
    follower = role(f"{FOLLOWER} --nondeterministic approximate")
    assert isinstance(follower, FollowerRole)
    assert follower.follower._engine._nondeterministic is Nondeterministic.APPROXIMATE  # type: ignore[attr-defined]
    told = role(f"{SUBSCRIBER} --nondeterministic approximate --on-divergence resnapshot")
    assert isinstance(told, SubscriberRole)
    assert told.subscriber._target._nondeterministic is Nondeterministic.APPROXIMATE  # type: ignore[attr-defined]
    assert told.subscriber._subscription.on_divergence is OnDivergence.RESNAPSHOT
    plain = role(SUBSCRIBER)
    assert isinstance(plain, SubscriberRole)
    assert plain.subscriber._subscription.on_divergence is OnDivergence.STOP


def test_a_master_that_serves_subscribers(folder: Path) -> None:
    plain, made = role(MASTER), role(f"{MASTER} --wal-level logical --strict-publications")
    assert isinstance(plain, MasterRole)
    assert isinstance(made, MasterRole)
    assert (plain._settings.wal_level, plain._settings.strict_publications) == (None, False)
    assert (made._level.value, made._settings.strict_publications) == ("logical", True)
    follower = role(f"{FOLLOWER} --listen unix:here --wal-level logical")
    assert isinstance(follower, FollowerRole)
    assert follower._level.is_logical


def test_a_subscriber(folder: Path) -> None:
    made = role(f'{SUBSCRIBER} -p News -p "News" --skip-at 5 --skip-crc 0xff --on-error skip --origin none')
    assert isinstance(made, SubscriberRole)
    wanted = made._settings.subscription
    assert (wanted.name, wanted.publications) == ("s", ("p", "news", "News"))
    assert (wanted.copy_data, wanted.start, wanted.keep_refused) == (True, None, True)
    assert (wanted.skip, wanted.origin.value) == (SkipRequest(5, 255), "none")
    assert made._settings.paths.database == folder / "c.db"


@pytest.mark.parametrize(
    ("line", "copies", "start"),
    [("", True, None), ("--no-copy-data", False, None), ("--start 48", False, 48)],
)
def test_how_a_subscription_begins(folder: Path, line: str, copies: bool, start: int | None) -> None:
    made = role(f"{SUBSCRIBER} {line}")
    assert isinstance(made, SubscriberRole)
    assert (made._settings.subscription.copy_data, made._settings.subscription.start) == (copies, start)
    assert made._settings.without_cold_rows is False


def test_a_subscriber_that_does_without_cold_rows(folder: Path) -> None:
    made = role(f"{SUBSCRIBER} --without-cold-rows")
    assert isinstance(made, SubscriberRole)
    assert made._settings.without_cold_rows
    target = make_target(made._settings)
    assert isinstance(target, SqliteTarget)
    assert target._without_cold_rows


def test_a_subscriber_of_every_table_names_no_publication(folder: Path) -> None:
    made = role("subscriber --master h:1 --name s --all-tables --db c.db --engine counting")
    assert isinstance(made, SubscriberRole)
    assert made._settings.subscription.publications == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "say what to run: master, follower or subscriber"),
        ("publisher", "nknown command: publisher"),
        ("master --db a.db", "--listen is missing: say where followers connect, such as 127.0.0.1:7433"),
        ("master --listen localhost:1", "--db is missing"),
        ("follower --db b.db", "--master is missing"),
        ("follower --master localhost:1", "--db is missing"),
        ("subscriber --master h:1 --db b.db --publication p", "--name is missing"),
        ("subscriber --master h:1 --name s --publication p", "--db is missing"),
        ("subscriber --master h:1 --name s --db b.db", "name the publications with --publication"),
        (f"{SUBSCRIBER} --all-tables", "--publication and --all-tables are both given"),
        (f"{MASTER} --ready-lag 3", "--ready-lag not recognized"),
        (f"{SUBSCRIBER} --origin local", "--origin is any or none, not 'local'"),
        (f"{SUBSCRIBER} --on-error go", "--on-error is stop or skip, not 'go'"),
        (f"{SUBSCRIBER} --skip-at 5", "--skip-at and --skip-crc belong together"),
        (f"{SUBSCRIBER} --engine archive", "the engine 'archive' is unknown; there are sqlite, counting"),
        (f"{FOLLOWER} --wal-level logical", "--wal-level is for subscribers of this follower; it needs --listen"),
        (f"{FOLLOWER} --strict-publications", "it needs --listen"),
        (f"{MASTER} --engine counting", "the engine 'counting' is unknown; there are sqlite, archive"),
        (
            f"{FOLLOWER} --engine mysql://h/d",
            "is not built into this version; there are sqlite, archive, counting and postgresql://",
        ),
        (f"{MASTER} more words", "'more words' belongs to no option"),
        (f"{MASTER} --wal a.db", "--wal and --db name the same file"),
        (f"{FOLLOWER} --skip-at 5", "--skip-at and --skip-crc belong together"),
        (f"{FOLLOWER} --skip-crc 5", "--skip-at and --skip-crc belong together"),
        (f"{FOLLOWER} --on-divergence go", "--on-divergence is stop or resnapshot, not 'go'"),
        (f"{SUBSCRIBER} --on-divergence go", "--on-divergence is stop or resnapshot, not 'go'"),
        (f"{FOLLOWER} --nondeterministic maybe", "--nondeterministic is stop or approximate, not 'maybe'"),
        (f"{FOLLOWER} --engine archive --nondeterministic approximate", "is for --engine sqlite"),
        (f"{FOLLOWER} --max-snapshots 3", "--max-snapshots is for followers of this follower; it needs --listen"),
        (f"{FOLLOWER} --engine counting --listen h:1", "only counts has no snapshot to give"),
        (f"{FOLLOWER} --engine postgresql://h/d --listen h:1", "into a server has no snapshot to give"),
        (f"{FOLLOWER} --engine postgresql://u:pass@h/d", "postgresql://u@h/d: a password on a command line"),
        (f"{MASTER} --engine postgresql://u:pass@h/d", "the engine 'postgresql://u@h/d' is not built into"),
    ],
)
def test_wrong_usage_is_64_and_says_why(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(line)
    assert stop.value.code == 64
    error = capsys.readouterr().err
    assert said in error
    assert "Usage: " in error
    role = next((f" {name}" for name in ROLES if line.startswith(name)), "")
    assert error.endswith(f"See `twistd spgrepl{role} --help`.\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{MASTER} --stalled-reader soon", "--stalled-reader: 'soon' is not a duration"),
        (f"{MASTER} --max-connections 0", "--max-connections: '0' is not a number"),
        (f"{MASTER} --max-record huge", "--max-record: 'huge' is not a size"),
        (f"{SUBSCRIBER} --start 0", "--start: position 0 cannot be asked for"),
        (f"{SUBSCRIBER} --http-name a.example.org", "--http-name is for the site of --http: say where that is"),
        (f"{MASTER} --http-token-file token", "--http-token-file is for the site of --http"),
        (f"{MASTER} --http nowhere", "--http: 'nowhere' is not an endpoint to listen on"),
        ("master --db a.db --listen nowhere", "--listen: 'nowhere' is not an endpoint to listen on"),
        ("master --db a.wal --listen h:1", "would share the file"),
        ("follower --db a.db --master nowhere", "--master: 'nowhere' is not an endpoint to connect to"),
        (f"{FOLLOWER} --skip-at here --skip-crc 0", "--skip-at: 'here' is not a position"),
        (f"{FOLLOWER} --skip-at 0 --skip-crc what", "--skip-crc: 'what' is not a CRC-32"),
        (f"{MASTER} --wal-level loud", "--wal-level: 'loud' is not a WAL level"),
        (f"{SUBSCRIBER} --start here", "--start: 'here' is not a position"),
        (f'{SUBSCRIBER} --publication "p', "--publication: '\"p' is not a name"),
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


@pytest.mark.parametrize("words", [["--version"], ["master", "--version"]])
def test_the_version_is_ours(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        tap.Options().parseOptions(words)
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"spgrepl {spgrepl.__version__} (Twisted ")


def test_a_path_that_cannot_be_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = tap.Options()
    options.parseOptions(["master", "--listen", "127.0.0.1:0", "--db", str(tmp_path / ("x" * 300))])
    with pytest.raises(SystemExit) as stop:
        tap.makeService(options)
    assert stop.value.code == 78
    assert "File name too long" in capsys.readouterr().err


def test_a_lock_that_cannot_be_made_is_a_matter_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone/a\.lock cannot be made or opened: No such file"):
        LockFile(tmp_path / "gone" / "a.lock", "test").acquire()


@pytest.mark.parametrize("line", ["", "master", "follower", "subscriber"])
def test_the_help_shows_once_how_it_is_used(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tap.Options().parseOptions([*line.split(), "--help"])
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("Usage: twistd [options] spgrepl ")
    assert first.count("twistd") == 1


# -- TLS, and who may connect ----------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["0.0.0.0:7433", "[::]:7433", "tcp:7433", "192.0.2.1:7433"])
@pytest.mark.parametrize("start", [MASTER, f"{FOLLOWER} --listen X"])
def test_nobody_listens_for_other_machines_without_saying_so(folder: Path, listen: str, start: str) -> None:
    line = start.replace("127.0.0.1:7433", listen).replace("--listen X", f"--listen {listen}")
    with pytest.raises(ConfigurationError, match=r"^other machines can connect to .*; or say --insecure$"):
        role(line)
    assert role(f"{line} --insecure")


def test_tls_by_options(folder: Path) -> None:
    ours = Authority(folder / "ours")
    ours.issue("localhost")
    files = "--tls-cert ours/localhost.pem --tls-key ours/localhost.key --tls-ca ours/ca.pem"
    made = role(f"{MASTER.replace('127.0.0.1', '0.0.0.0')} {files} --tls-require-client-cert")
    assert isinstance(made, MasterRole)
    assert made.status()["tls"]["client_certificates"] is True
    made = role(f"{MASTER} --tls-cert ours/localhost.pem --tls-key ours/localhost.key")
    assert made.status()["tls"]["client_certificates"] is False
    assert role(MASTER).status()["tls"] is None
    follower = role(f"{FOLLOWER} --listen 127.0.0.1:0 {files} --tls-require-client-cert")
    assert isinstance(follower, FollowerRole)
    assert isinstance(follower._settings.master, TlsClientEndpoint)
    assert follower._settings.master._name == "localhost"
    assert follower.status()["tls"]["client_certificates"] is True
    subscriber = role(f"{SUBSCRIBER} --tls --tls-server-name db.example.org")
    assert isinstance(subscriber, SubscriberRole)
    assert isinstance(subscriber._settings.master, TlsClientEndpoint)
    assert subscriber._settings.master._name == "db.example.org"
    # A copy on the same machine needs none, and what stands before it may still.
    middle = role(f"follower --master unix:here --db b.db --listen 127.0.0.1:0 {files} --tls-require-client-cert")
    assert isinstance(middle, FollowerRole)
    assert not isinstance(middle._settings.master, TlsClientEndpoint)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{MASTER} --tls-require-client-cert", "is for those who listen by TLS"),
        (f"{MASTER} --tls-cert ours/localhost.pem --tls-require-client-cert", "say with --tls-ca whose"),
        (f"{MASTER} --tls-key ours/localhost.key", "--tls-key is for listening by TLS"),
        (f"{MASTER} --tls-ca ours/ca.pem", "--tls-ca is for listening by TLS"),
        (f"{MASTER} --tls-cert ours/none.pem", "none.pem cannot be read: No such file or directory"),
        (f"{MASTER.replace('127.0.0.1:7433', 'ssl:0')} --tls-cert ours/localhost.pem", "--listen|server.pem"),
        (f"{FOLLOWER} --tls-cert ours/localhost.pem", "--tls-cert is for connecting by TLS: say --tls-ca FILE"),
        (f"{FOLLOWER} --tls --tls-key ours/localhost.key", "name that with --tls-cert"),
        (f"{FOLLOWER} --tls-ca ours/none.pem", "none.pem cannot be read"),
        (f"{FOLLOWER} --tls-server-name a", "--tls-server-name is for connecting by TLS"),
        (f"{SUBSCRIBER.replace('localhost:7433', 'unix:a')} --tls", "--tls: --master is a UNIX socket"),
        (
            "master --listen unix:a --db a.db --tls-cert ours/localhost.pem",
            "--tls-cert: --listen is a UNIX socket",
        ),
        ("master --listen unix:a --db a.db --tls-ca ours/ca.pem", "--tls-ca: --listen is a UNIX socket"),
        (f"{FOLLOWER} --listen unix:a --tls-cert ours/localhost.pem", "--tls-cert: --listen is a UNIX socket"),
        (f"{SUBSCRIBER.replace('localhost:7433', 'tls:localhost:1')} --tls", "says TLS by itself"),
    ],
)
def test_options_of_tls_that_cannot_be(folder: Path, line: str, words: str) -> None:
    Authority(folder / "ours").issue("localhost")
    with pytest.raises(UsageError, match=words) as refused:
        role(line)
    assert "\n" not in str(refused.value)


def test_a_certificate_may_be_for_the_connection_alone(folder: Path) -> None:
    """Which goes by TLS while followers come over a socket."""
    Authority(folder / "ours").issue("localhost")
    files = "--tls-cert ours/localhost.pem --tls-key ours/localhost.key --tls-ca ours/ca.pem"
    made = role(f"{FOLLOWER} --listen unix:a {files}")
    assert isinstance(made, FollowerRole)
    assert isinstance(made._settings.master, TlsClientEndpoint)
    assert made.status()["tls"] is None


# -- what would do nothing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{MASTER} --http-name a.example", "--http-name is for the site of --http"),
        (
            f"{MASTER} --http-token-file token",
            "--http-token-file is for the site of --http",
        ),
        (
            f"{FOLLOWER} --http unix:a --http-token-file token",
            "--http is a UNIX socket",
        ),
        (
            f"{FOLLOWER} --http unix:a --http-name a.example",
            "--http is a UNIX socket",
        ),
        (f"{SUBSCRIBER} --ready-lag 3", "--ready-lag is for the site of --http"),
        (f"{SUBSCRIBER} --max-http-connections 3", "--max-http-connections is for the site of --http"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(folder: Path, line: str, words: str) -> None:
    (folder / "token").write_text("x" * 20)
    with pytest.raises(UsageError, match=words):
        role(line)


# -- transactions that the log cannot tell -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", TransactionChoices()),
        ("--open-transactions drop-after 60", TransactionChoices(drop_after=60.0)),
        ("--open-transactions=drop-after=0.5", TransactionChoices(drop_after=0.5)),
        ("--open-transactions wait --ambiguous-transactions merge", TransactionChoices(OnAmbiguity.MERGE)),
    ],
)
def test_what_is_chosen_about_transactions(folder: Path, words: str, expected: TransactionChoices) -> None:
    for role in (FOLLOWER, MASTER):
        assert parse(f"{role} {words}").choices() == expected
    made = parse(f"{FOLLOWER} {words} --max-frame 1M").role(MemoryReactorClock()).follower
    assert made._following.transactions == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--ambiguous-transactions guess", "--ambiguous-transactions is stop or resnapshot or merge, not 'guess'"),
        ("--open-transactions drop-after never", "--open-transactions: 'never' is not a duration"),
        ("--open-transactions drop", "'drop' is neither wait nor drop-after SECONDS"),
    ],
)
def test_what_cannot_be_chosen_about_transactions(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str, complaint: str
) -> None:
    with pytest.raises((SystemExit, UsageError)) as caught:
        parse(f"{FOLLOWER} {line}").choices()
    assert complaint in capsys.readouterr().err + str(caught.value)


def test_a_master_has_no_snapshot_to_take(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(f"{MASTER} --ambiguous-transactions resnapshot")
    assert "--ambiguous-transactions is stop or merge, not 'resnapshot'" in capsys.readouterr().err

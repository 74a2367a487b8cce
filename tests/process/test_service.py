"""A process with many roles: it starts and ends as one, and reads its file again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from spgrepl.errors import SpgReplError, UsageError
from spgrepl.process.configuration import load_configuration
from spgrepl.process.service import ProcessService
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.text.log_words import SqlInLogs
from tests.conftest import LoggedFailures


class Process:
    """A process whose file the test writes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "c.toml"
        self.folder = folder
        self.service: ProcessService | None = None

    def write(self, *tables: str) -> None:
        self.file.write_text("\n".join(tables))

    def make(self, *tables: str) -> ProcessService:
        self.write(*tables)
        self.service = ProcessService(
            reactor, load_configuration(self.file), lambda: load_configuration(self.file)
        )
        return self.service


def master(name: str, more: str = "") -> str:
    return f'[[master]]\nname = "{name}"\ndb = "{name}.db"\nlisten = "unix:{{folder}}/{name}.s"\n{more}'


@pytest.fixture
def process(tmp_path: Path) -> Any:
    made = Process(tmp_path)
    yield made
    if made.service is not None:
        pytest_twisted.blockon(made.service.stopService())


def states(service: ProcessService) -> dict[str, str]:
    return {status["name"]: status["state"] for status in service.statuses()}


@pytest_twisted.inlineCallbacks
def test_all_roles_are_started_shown_and_stopped(process: Process) -> Any:
    folder = process.folder
    service = process.make(
        f'[process]\nhttp = "unix:{folder}/http"', *(master(name).format(folder=folder) for name in ("a", "b"))
    )
    service.startService()
    for role in service.roles.values():
        yield role.when_ready()
    assert list(service.roles) == ["master a", "master b"]
    assert states(service) == {"a": "serving", "b": "serving"}
    assert service.http is not None
    assert service.http.port is not None
    yield service.stopService()
    assert set(states(service).values()) == {"stopped"}
    assert service.http is None


@pytest_twisted.inlineCallbacks
def test_what_is_told_the_same_goes_on_undisturbed(process: Process) -> Any:
    folder = process.folder
    one, two, three = (master(name).format(folder=folder) for name in ("a", "b", "c"))
    service = process.make(one, two)
    service.startService()
    for role in service.roles.values():
        yield role.when_ready()
    kept, changed = service.roles["master a"], service.roles["master b"]
    process.write(three, master("b", "max-connections = 5\n").format(folder=folder), one)
    yield service.reload()
    assert service.roles["master a"] is kept
    assert kept.status()["state"] == "serving"
    assert service.roles["master b"] is not changed
    assert changed.status()["state"] == "stopped"
    for role in service.roles.values():
        yield role.when_ready()
    assert states(service) == {"a": "serving", "b": "serving", "c": "serving"}
    process.write(three)
    yield service.reload()
    assert states(service) == {"c": "serving"}


@pytest_twisted.inlineCallbacks
def test_nothing_changes_where_the_file_has_a_mistake(process: Process) -> Any:
    folder = process.folder
    service = process.make(master("a").format(folder=folder))
    service.startService()
    yield service.roles["master a"].when_ready()
    for text in ("[[master", master("a", "x = 1\n").format(folder=folder), '[[master]]\nname = "a"\n'):
        process.write(text)
        yield service.reload()
        assert states(service) == {"a": "serving"}


@pytest_twisted.inlineCallbacks
def test_what_clients_may_do_is_read_again(process: Process) -> Any:
    """A follower that may have nothing is refused by name; it streams when the file says that it may."""
    folder = process.folder
    follower = f'[[follower]]\nname = "f"\ndb = "f.db"\nmaster = "unix:{folder}/a.s"\n'

    def written(may: str) -> tuple[str, str]:
        client = f'[[master.access]]\nuser = {os.getuid()}\nmay = "{may}"\n'
        return master("a", client).format(folder=folder), follower

    service = process.make(*written("nothing"))
    service.startService()
    roles = service.roles
    while not roles["master a"].status()["refused"].get("not_allowed"):
        yield deferLater(reactor, 0.01)
    copy = roles["follower f"]
    assert copy.status()["state"] != "streaming"
    process.write(*written("physical"))
    yield service.reload()
    assert service.roles["follower f"] is copy
    while copy.status()["state"] != "streaming":
        yield deferLater(reactor, 0.01)
    assert states(service) == {"a": "serving", "f": "streaming"}


@pytest_twisted.inlineCallbacks
def test_roles_stay_in_the_order_of_the_file(process: Process) -> Any:
    folder = process.folder
    first, second = (master(name).format(folder=folder) for name in ("a", "b"))
    service = process.make(first, second)
    service.startService()
    for role in service.roles.values():
        yield role.when_ready()
    process.write(first + 'peer = ["berlin=10.1.2.3"]\n', second)
    yield service.reload()
    assert list(service.roles) == ["master a", "master b"]
    assert [status["name"] for status in service.statuses()] == ["a", "b"]


@pytest_twisted.inlineCallbacks
def test_sql_is_kept_out_of_the_log_again(process: Process, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(SqlInLogs, "allowed", False)
    one = master("a").format(folder=process.folder)
    service = process.make(one + "log-sql = true\n")
    assert SqlInLogs.allowed
    service.startService()
    process.write(one)
    yield service.reload()
    assert not SqlInLogs.allowed
    process.write(one + "log-sql = true\n", "[[master]]\nname = 'b'\n")  # a mistake
    yield service.reload()
    assert not SqlInLogs.allowed


@pytest_twisted.inlineCallbacks
def test_the_site_moves(process: Process) -> Any:
    folder = process.folder
    one = master("a").format(folder=folder)
    service = process.make(one)
    service.startService()
    yield service.when_ready()
    assert service.http is None
    process.write(f'[process]\nhttp = "unix:{folder}/http"', one)
    yield service.reload()
    assert service.http is not None
    assert (folder / "http").exists()
    process.write(one)
    yield service.reload()
    assert service.http is None


@pytest_twisted.inlineCallbacks
def test_a_role_that_cannot_go_on_ends_the_process(process: Process, logged_failures: LoggedFailures) -> Any:
    folder = process.folder
    process.folder.joinpath("b.db").write_bytes(b"no database " * 100)
    service = process.make(*(master(name).format(folder=folder) for name in ("a", "b")))
    service.startService()
    with pytest.raises(SpgReplError, match=r"b\.db"):
        yield service.finished
    assert set(states(service).values()) == {"stopped"}


@pytest_twisted.inlineCallbacks
def test_or_the_others_go_on(process: Process) -> Any:
    folder = process.folder
    process.folder.joinpath("b.db").write_bytes(b"no database " * 100)
    service = process.make(
        '[process]\non-failure = "go-on"', *(master(name).format(folder=folder) for name in ("a", "b"))
    )
    service.startService()
    yield service.roles["master a"].when_ready()
    with pytest.raises(SpgReplError, match=r"b\.db"):
        yield service.roles["master b"].finished
    assert states(service) == {"a": "serving", "b": "stopped"}


@pytest_twisted.inlineCallbacks
def test_a_master_takes_the_place_of_a_follower_that_is_promoted(process: Process) -> Any:
    folder = process.folder
    follower = (
        f'[[follower]]\nname = "f"\ndb = "f.db"\nmaster = "unix:{folder}/m.s"\nlisten = "unix:{folder}/f.s"\n'
    )
    tables = (master("m").format(folder=folder), follower)
    service = process.make(*tables)
    service.startService()
    role = service.roles["follower f"]
    assert isinstance(role, FollowerRole)
    yield role.when_ready()
    while role.status()["positions"]["source"] is None or role.status()["positions"]["durable"] is None:
        yield deferLater(reactor, 0.01)
    yield role.promote()
    promoted = service.roles["follower f"]
    assert isinstance(promoted, MasterRole)
    yield promoted.when_ready()
    assert states(service)["m"] == "serving"
    assert promoted.status()["state"] == "serving"
    # Until the file says otherwise, it stays as it is.
    yield service.reload()
    assert service.roles["follower f"] is promoted


@pytest_twisted.inlineCallbacks
def test_a_wait_needs_to_know_which_role_is_meant(process: Process) -> Any:
    folder = process.folder
    service = process.make(*(master(name).format(folder=folder) for name in ("a", "b")))
    with pytest.raises(UsageError, match="several roles"):
        yield service._wait(1, 1.0)

"""What all roles have in common: a site that outlives a failure, an order of starting, a status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.web.resource import Resource
from twisted.web.server import Site

from spgrepl.errors import ConfigurationError, ServiceStopped
from spgrepl.server.role import HttpService, Role
from spgrepl.testing import Cluster
from spgrepl.testing.stepping import StepReactor


class Port:
    """A port that listens until it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    def getHost(self) -> Any:
        return None

    def stopListening(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)


class Endpoint:
    """Answers as a test says; counts how often it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0

    def listen(self, _site: Any) -> Any:
        self.asked += 1
        return self.answers.pop(0)


def service(*answers: Any) -> HttpService:
    endpoint: Any = Endpoint(*answers)
    return HttpService(endpoint, Site(Resource()))


@pytest.fixture(autouse=True)
def plain_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spgrepl.server.role.accept_few", lambda _port: None)
    monkeypatch.setattr("spgrepl.server.role.format_address", str)


def test_it_listens_once_whoever_asks_for_it() -> None:
    port = Port()
    http = service(succeed(port))
    http.privilegedStartService()
    http.startService()
    assert StepReactor().wait(http.listen()) is None
    http.stopService()
    http.stopService()
    assert (port.closed, http.port, http.address) == (1, None, None)


def test_a_port_that_is_taken_is_named_by_its_option_and_tried_again() -> None:
    port = Port()
    http = service(fail(CannotListenError("127.0.0.1", 80, OSError("in use"))), succeed(port))
    http.startService()
    with pytest.raises(ConfigurationError, match=r"the address of --http cannot be listened on: .*in use"):
        StepReactor().wait(http._outcome.wait())
    StepReactor().wait(http.listen())
    assert http.port is port


def test_one_that_is_stopped_before_it_listens() -> None:
    http = service(Deferred())
    http.startService()
    waiting = http.listen()
    http.stopService()
    with pytest.raises(ServiceStopped, match="stopped before it listened"):
        StepReactor().wait(waiting)


def test_roles_start_and_stop_as_often_as_one_likes(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        node = cluster.primary()
        node.execute("CREATE TABLE t (a)")
        role: Any = cluster.follower()
        assert isinstance(role, Role)
        for number in range(3):
            position = node.execute(f"INSERT INTO t VALUES ({number})")
            cluster.wait(role.when_applied(position))
            cluster.stop(role)
            assert role.status()["state"] == "stopped"
            cluster.start(role)
        assert role.status()["role"] == role.kind == "follower"
        assert role.status()["problems"] is not None

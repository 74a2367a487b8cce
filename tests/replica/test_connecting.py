"""What stands between Twisted and a follower: endpoints that tell, wait, and give up."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from spgrepl.replica.connecting import (
    CONNECT_SECONDS,
    LinkFactory,
    NotingEndpoint,
    ReadyEndpoint,
    TimedEndpoint,
    repeated_client,
)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Answers with what a test says."""

    def __init__(self, *answers: Deferred[Any]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803
        self.asked += 1
        return self.answers.pop(0)


FACTORY = LinkFactory(Protocol)


def result(deferred: Deferred[Any]) -> list[Any]:
    told: list[Any] = []
    deferred.addBoth(lambda got: told.append(got.value if isinstance(got, Failure) else got))
    return told


def test_failures_are_told_and_handed_on() -> None:
    failures: list[Failure] = []
    error, there = ConnectError(), Protocol()
    endpoint = NotingEndpoint(Endpoint(fail(error), succeed(there)), failures.append)
    verifyObject(IStreamClientEndpoint, endpoint)
    assert result(endpoint.connect(FACTORY)) == [error]
    assert result(endpoint.connect(FACTORY)) == [there]
    assert [failure.value for failure in failures] == [error]


def test_an_attempt_ends_by_the_steady_clock() -> None:
    clock = Clock()
    told = result(TimedEndpoint(Endpoint(Deferred()), clock).connect(FACTORY))
    clock.advance(CONNECT_SECONDS - 1)
    assert told == []
    clock.advance(2)
    assert [type(error).__name__ for error in told] == ["TimeoutError"]


def test_nothing_is_connected_before_it_is_ready() -> None:
    ready, endpoint = Deferred[None](), Endpoint(succeed(Protocol()))
    told = result(ReadyEndpoint(endpoint, lambda: ready).connect(FACTORY))
    assert endpoint.asked == 0
    ready.callback(None)
    assert (endpoint.asked, len(told)) == (1, 1)
    unready = Endpoint()
    (error,) = result(ReadyEndpoint(unready, lambda: fail(OSError("no"))).connect(FACTORY))
    assert (unready.asked, str(error)) == (0, "no")


@pytest.mark.parametrize("pause", [0.0, 3.0])
def test_connections_follow_each_other_until_they_are_stopped(pause: float) -> None:
    clock, failures = Clock(), list[Failure]()
    endpoint = Endpoint(fail(ConnectError()), fail(ConnectError()), Deferred())
    client = repeated_client(endpoint, Protocol, failures.append, lambda _: pause, clock)
    client.startService()
    assert endpoint.asked == 1
    clock.advance(pause)
    clock.advance(pause)
    assert (endpoint.asked, len(failures)) == (3, 2)
    client.stopService()
    assert isinstance(failures[-1].value, CancelledError)
    assert clock.getDelayedCalls() == []

"""A service with a life cycle, as Twisted's applications start and stop it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from spgrepl.base.living_service import LivingService
from spgrepl.errors import EngineFailed


class Thing(LivingService):
    def __init__(self) -> None:
        super().__init__("the thing")
        self.opening: Deferred[object] = Deferred()
        self.closes = 0

    def _open(self) -> Deferred[object]:
        return self.opening

    def _close_all(self) -> Deferred[None]:
        self.closes += 1
        self.opening = Deferred()
        return succeed(None)

    def give_up(self, error: EngineFailed) -> None:
        self._fail_with(error)


def told(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addBoth(lambda got: found.append(got.value if isinstance(got, Failure) else got))
    return found


def test_a_parent_starts_and_stops_it() -> None:
    parent, thing = MultiService(), Thing()
    assert verifyObject(IService, thing)
    thing.setServiceParent(parent)
    ready = told(thing.when_ready())
    parent.startService()
    assert (bool(thing.running), ready) == (True, [])
    thing.opening.callback(None)
    assert ready == [None]
    finished = told(thing.finished)
    parent.stopService()
    assert (bool(thing.running), thing.closes, finished) == (False, 1, [None])


def test_it_starts_again() -> None:
    thing = Thing()
    for number in range(1, 3):
        thing.startService()
        ready = told(thing.when_ready())
        thing.opening.callback(None)
        assert ready == [None]
        assert told(thing.stopService()) == [None]
        assert thing.closes == number


@pytest.mark.parametrize("opened", [True, False])
def test_an_error_closes_it_and_is_told(opened: bool) -> None:
    thing, error = Thing(), EngineFailed("the disk is full")
    thing.startService()
    ready, finished = told(thing.when_ready()), told(thing.finished)
    if opened:
        thing.opening.callback(None)
        thing.give_up(error)
    else:
        thing.opening.errback(error)
    assert (ready, finished, thing.closes) == ([None] if opened else [error], [error], 1)

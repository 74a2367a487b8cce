"""Waking the reactor from another thread."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from zope.interface.verify import verifyObject

from spgrepl.primary.writing import waking
from spgrepl.primary.writing.waking import Waker
from spgrepl.testing import StepReactor


def test_it_is_what_a_reactor_reads() -> None:
    assert verifyObject(IReadDescriptor, Waker(Clock(), bool))


@pytest_twisted.ensureDeferred
async def test_it_is_called_in_the_reactors_thread_each_time_it_is_woken() -> None:
    from twisted.internet import reactor

    before: Any = set(reactor.getReaders())  # type: ignore[attr-defined]
    woken: list[Deferred[None]] = [Deferred(), Deferred()]
    waiting = iter(woken)
    waker = Waker(reactor, lambda: next(waiting).callback(None))
    waker.start()
    waker.start()
    for one in woken:
        await deferToThread(waker.wake)
        await one
    waker.stop()
    waker.stop()
    assert set(reactor.getReaders()) == before  # type: ignore[attr-defined]
    assert waker.fileno() == -1


def test_a_reactor_without_descriptors_is_asked_to_call() -> None:
    class Threads(Clock):
        def callFromThread(self, call: Any) -> None:
            self.callLater(0, call)

    reactor, calls = Threads(), []
    waker = Waker(reactor, lambda: calls.append(1))
    waker.start()
    waker.wake()
    reactor.advance(0)
    assert calls == [1]


def test_a_system_without_such_descriptors_is_asked_by_its_reactor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "_write", None)
    reactor = StepReactor()
    called: list[int] = []
    waker = Waker(reactor, lambda: called.append(1))
    waker.start()
    waker.wake()
    reactor.settle()
    waker.stop()
    assert called == [1]

"""SIGHUP: read the configuration again."""

from __future__ import annotations

import os
import signal

from spgrepl.process.signals import HangupListener, hold_hangups, release_hangups
from spgrepl.testing.stepping import StepReactor


def test_it_is_called_in_the_reactor_while_it_runs() -> None:
    reactor, calls = StepReactor(), list[str]()
    before = signal.getsignal(signal.SIGHUP)
    listener = HangupListener(reactor, lambda: calls.append("again"))
    listener.startService()
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        assert calls == []
        reactor.settle()
        assert calls == ["again"]
    finally:
        listener.stopService()
    assert signal.getsignal(signal.SIGHUP) == before


def test_one_that_came_while_it_was_held_back_is_told_at_the_start() -> None:
    reactor, calls = StepReactor(), list[str]()
    hold_hangups()
    try:
        signal.raise_signal(signal.SIGHUP)  # to this thread: the test runner may have more
        listener = HangupListener(reactor, lambda: calls.append("again"))
        listener.startService()
        try:
            reactor.settle()
            assert calls == ["again"]
            os.kill(os.getpid(), signal.SIGHUP)
            reactor.settle()
            assert calls == ["again"] * 2
        finally:
            listener.stopService()
    finally:
        release_hangups()

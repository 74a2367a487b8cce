"""SIGHUP: read the configuration again."""

from __future__ import annotations

import os
import signal

from spgrepl.process.signals import HangupListener
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

"""SIGHUP: read the configuration again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

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
    assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if before is signal.SIG_DFL else before)
    signal.signal(signal.SIGHUP, before)


ENDS_SLOWLY = """
import os, signal, sys, time
from spgrepl.process.signals import HangupListener
from spgrepl.testing.stepping import StepReactor
listener = HangupListener(StepReactor(), lambda: None)
for _ in range(2):
    listener.startService()
    listener.stopService()
    os.kill(os.getpid(), signal.SIGHUP)
    time.sleep(0.05)
print("closed")
"""
"""A process that is told to read its configuration again while it ends."""


def test_it_does_not_end_a_process_that_ends() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS_SLOWLY], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


def test_a_handler_of_somebody_is_given_back() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: came.append(number))
    try:
        listener = HangupListener(StepReactor(), lambda: None)
        listener.startService()
        listener.stopService()
        os.kill(os.getpid(), signal.SIGHUP)
        assert came == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)


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

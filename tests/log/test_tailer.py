"""The watcher of a log file: growth, every kind of loss, and what must not stop it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from twisted.internet import defer, task
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from spgrepl.errors import ConfigurationError, LogTruncated
from spgrepl.log.durable import DurableFile, durable_path
from spgrepl.log.source import ILogListener, ILogSource
from spgrepl.log.tailer import WalTailer


@implementer(ILogListener)
class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[int | str] = []
        self.on_growth: Any = lambda length: None
        self.on_loss: Any = lambda reason: None

    def log_grew(self, length: int) -> None:
        self.heard.append(length)
        self.on_growth(length)

    def log_lost(self, reason: LogTruncated) -> None:
        self.heard.append(str(reason))
        self.on_loss(reason)


class PolledTailerTests(SynchronousTestCase):
    """With a clock that is moved by hand, and no inotify."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.clock = task.Clock()
        self.tailer = WalTailer(self.clock, self.path)
        self.listener = Listener()
        self.tailer.add_listener(self.listener)
        self.addCleanup(self.tailer.stop)

    def pass_time(self) -> None:
        self.clock.advance(0.05)

    def append(self, data: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(data)

    def test_interfaces(self) -> None:
        assert verifyObject(ILogSource, self.tailer)
        assert verifyObject(ILogListener, self.listener)

    def test_published_at_once_at_start(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        assert self.tailer.length == 3
        assert self.listener.heard == [3]
        assert os.pread(self.tailer.fileno(), 10, 0) == b"abc"

    def test_starting_twice_is_starting_once(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        self.tailer.start()
        assert self.listener.heard == [3]
        assert len(self.clock.getDelayedCalls()) == 1

    def test_growth_is_told_once(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        self.append(b"defg")
        self.pass_time()
        self.pass_time()
        assert self.listener.heard == [3, 7]

    def test_file_that_appears_later(self) -> None:
        self.tailer.start()
        assert self.tailer.length == 0
        with pytest.raises(ConfigurationError) as caught:
            self.tailer.fileno()
        assert str(self.path) in str(caught.value)
        self.append(b"abc")
        self.pass_time()
        assert self.listener.heard == [3]

    def test_an_empty_file_is_known_and_a_missing_one_is_not(self) -> None:
        self.tailer.start()
        assert (self.tailer.known, self.listener.heard) == (False, [])
        self.append(b"")
        self.pass_time()
        assert (self.tailer.known, self.listener.heard) == (True, [0])
        assert self.tailer.fileno() >= 0

    def check_loss(self, words: str, after: int | None) -> None:
        """One loss, naming the file and what happened, and then growth to what is there now."""
        loss = self.listener.heard[1]
        assert isinstance(loss, str)
        assert words in loss
        assert str(self.path) in loss
        assert self.listener.heard[2:] == ([] if after is None else [after])
        assert (self.tailer.known, self.tailer.length) == (after is not None, after or 0)

    def test_truncation(self) -> None:
        self.append(b"abcdef")
        self.tailer.start()
        os.truncate(self.path, 0)
        self.pass_time()
        self.check_loss("truncated to 0 bytes after 6", 0)
        self.append(b"xy")
        self.pass_time()
        assert self.listener.heard[-1] == 2

    def test_truncation_to_a_part(self) -> None:
        self.append(b"abcdef")
        self.tailer.start()
        os.truncate(self.path, 4)
        self.pass_time()
        self.check_loss("truncated to 4 bytes", 4)

    def test_truncated_and_grown_again_between_two_looks(self) -> None:
        self.append(b"a" * 1000)
        self.tailer.start()
        os.truncate(self.path, 0)
        self.append(b"b" * 3000)
        self.pass_time()
        self.check_loss("other bytes stand before position 1000", 3000)

    def test_written_anew_with_the_same_length(self) -> None:
        self.append(b"a" * 1000)
        os.utime(self.path, ns=(0, 0))
        self.tailer.start()
        self.path.write_bytes(b"b" * 1000)
        self.pass_time()
        self.check_loss("other bytes", 1000)

    def test_touched_is_not_lost(self) -> None:
        self.append(b"a" * 1000)
        self.tailer.start()
        os.utime(self.path, ns=(0, 0))
        self.pass_time()
        assert self.listener.heard == [1000]

    def test_replacement_by_a_longer_file(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        other = self.path.with_name("other")
        other.write_bytes(b"abcdefgh")
        os.rename(other, self.path)
        self.pass_time()
        self.check_loss("replaced by another file after 3", 8)
        assert os.pread(self.tailer.fileno(), 99, 0) == b"abcdefgh"

    def test_disappearance_and_return(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        self.path.unlink()
        self.pass_time()
        self.check_loss("disappeared after 3", None)
        self.append(b"new")
        self.pass_time()
        assert self.listener.heard[2:] == [3]

    def test_what_has_taken_its_place_is_known_while_the_loss_is_told(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        seen: list[int] = []
        self.listener.on_loss = lambda reason: seen.append(self.tailer.length)
        other = self.path.with_name("other")
        other.write_bytes(b"abcdefgh")
        os.rename(other, self.path)
        self.pass_time()
        assert seen == [8]

    def test_descriptor_is_good_while_the_loss_is_told(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        handle = self.tailer.fileno()
        seen: list[bytes] = []
        self.listener.on_loss = lambda reason: seen.append(os.pread(handle, 9, 0))
        self.path.unlink()
        self.pass_time()
        assert seen == [b"abc"]

    def test_no_descriptor_is_left(self) -> None:
        before = os.listdir("/proc/self/fd")
        self.append(b"abc")
        self.tailer.start()
        self.path.unlink()
        self.pass_time()
        self.append(b"abc")
        self.pass_time()
        self.tailer.stop()
        assert os.listdir("/proc/self/fd") == before
        assert self.clock.getDelayedCalls() == []

    def test_listener_that_fails_stops_nobody(self) -> None:
        def fail(_: object) -> None:
            raise RuntimeError("a listener's own fault")

        second = Listener()
        self.tailer.add_listener(second)
        self.listener.on_growth = self.listener.on_loss = fail
        self.append(b"abc")
        self.tailer.start()
        self.append(b"d")
        self.pass_time()
        os.truncate(self.path, 0)
        self.pass_time()
        assert second.heard[:2] == [3, 4]
        assert len(self.flushLoggedErrors(RuntimeError)) == 4
        self.append(b"z")
        self.listener.on_growth = lambda length: None
        self.pass_time()
        assert self.listener.heard[-1] == 1

    def test_listeners_that_come_and_go_while_told(self) -> None:
        second, third = Listener(), Listener()

        def swap(_: object) -> None:
            self.tailer.remove_listener(second)
            self.tailer.add_listener(third)

        self.listener.on_growth = swap
        self.tailer.add_listener(second)
        self.append(b"abc")
        self.tailer.start()
        assert second.heard == []
        assert third.heard == []
        self.append(b"d")
        self.pass_time()
        assert second.heard == []
        assert third.heard == [4]

    def test_added_twice_is_told_once(self) -> None:
        self.tailer.add_listener(self.listener)
        self.append(b"abc")
        self.tailer.start()
        assert self.listener.heard == [3]
        self.tailer.remove_listener(self.listener)
        self.tailer.remove_listener(self.listener)

    def test_stopped_by_a_listener(self) -> None:
        for stop_on in ("on_growth", "on_loss"):
            listener = Listener()
            tailer = WalTailer(self.clock, self.path)
            tailer.add_listener(listener)
            setattr(listener, stop_on, lambda _, tailer=tailer: tailer.stop())
            self.append(b"abc")
            tailer.start()
            self.path.unlink()
            self.pass_time()
            assert tailer.length == 0
            assert self.clock.getDelayedCalls() == []

    def test_unreadable_path_is_said_once_and_tried_again(self) -> None:
        self.path.mkdir()
        self.tailer.start()
        self.pass_time()
        self.pass_time()
        with pytest.raises(ConfigurationError) as caught:
            self.tailer.fileno()
        assert "Is a directory" in str(caught.value)
        self.path.rmdir()
        self.append(b"abc")
        self.pass_time()
        assert self.listener.heard == [3]

    def test_an_unforeseen_error_does_not_end_the_watch(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        self.patch(self.tailer, "_check", lambda file: 1 // 0)
        self.pass_time()
        self.pass_time()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 2
        del self.tailer._check
        self.append(b"d")
        self.pass_time()
        assert self.listener.heard == [3, 4]

    def test_looked_at_by_hand(self) -> None:
        self.append(b"abc")
        self.tailer.start()
        self.append(b"d")
        self.tailer.look()
        assert self.listener.heard == [3, 4]


class GovernedTailerTests(SynchronousTestCase):
    """A log whose writer says how far it is durable: nothing after that is published."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"0123")
        self.log = os.open(self.path, os.O_RDWR)
        self.writer = DurableFile(self.path)
        self.clock = task.Clock()
        self.tailer = WalTailer(self.clock, self.path)
        self.listener = Listener()
        self.tailer.add_listener(self.listener)
        self.addCleanup(os.close, self.log)
        self.addCleanup(self.writer.leave)
        self.addCleanup(self.tailer.stop)

    def append(self, data: bytes) -> None:
        os.pwrite(self.log, data, os.fstat(self.log).st_size)
        self.clock.advance(0.05)

    def test_growth_waits_for_what_the_writer_says(self) -> None:
        self.writer.begin(self.log, 3, refused=False)
        self.tailer.start()
        self.append(b"45")
        assert self.listener.heard == [3]
        self.writer.publish(6)
        self.clock.advance(0.05)
        assert self.listener.heard == [3, 6]

    def test_a_writer_that_is_killed_and_the_next_one(self) -> None:
        self.tailer.start()
        self.writer.begin(self.log, 4, refused=False)
        self.append(b"45")
        self.writer.leave()
        self.clock.advance(0.05)
        assert self.listener.heard == [4]
        self.writer.begin(self.log, 4, refused=False)
        self.writer.publish(6)
        self.writer.end()
        self.append(b"6")
        assert self.listener.heard == [4, 7]

    def test_what_the_disk_refused_may_change(self) -> None:
        """It was not published, so its replacement is not a loss."""
        self.writer.begin(self.log, 4, refused=False)
        self.tailer.start()
        self.append(b"refused")
        os.pwrite(self.log, b"MARKED.", 4)
        self.writer.publish(11, refused=True)
        self.clock.advance(0.05)
        assert self.listener.heard == [4, 11]

    def test_what_was_published_stays_so(self) -> None:
        """A writer that knows less than was published takes nothing back."""
        self.tailer.start()
        self.writer.begin(self.log, 2, refused=False)
        self.append(b"4")
        assert self.tailer.length == 4
        self.writer.publish(5)
        self.clock.advance(0.05)
        assert self.listener.heard == [4, 5]

    def test_a_file_that_says_nothing_to_understand(self) -> None:
        """It is named, nothing more is published, and all goes on once it is away."""
        self.tailer.start()
        durable_path(self.path).write_bytes(b"a diary")
        self.append(b"4")
        assert self.tailer.length == 4
        assert "does not say how much" in (self.tailer.complaint or "")
        durable_path(self.path).unlink()
        self.clock.advance(0.05)
        assert self.listener.heard == [4, 5]
        assert self.tailer.complaint is None


class NoticedTailerTests(TestCase):
    """With the real reactor: inotify brings the look forward, and leaves nothing behind."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"abc")

    def tailer(self, **arguments: Any) -> WalTailer:
        """A tailer whose polling is too slow for any test: what is seen is seen by inotify."""
        made = WalTailer(self.reactor, self.path, interval=3600, **arguments)
        self.addCleanup(made.stop)
        return made

    def told(self, tailer: WalTailer, loss: bool = False) -> defer.Deferred[int | str]:
        """The next growth that the tailer tells, or the next loss."""
        waiting: defer.Deferred[int | str] = defer.Deferred()
        listener = Listener()

        def hear(what: Any) -> None:
            tailer.remove_listener(listener)
            waiting.callback(str(what) if loss else what)

        setattr(listener, "on_loss" if loss else "on_growth", hear)
        tailer.add_listener(listener)
        return waiting.addTimeout(10, self.reactor)

    @defer.inlineCallbacks
    def test_growth(self) -> Any:
        tailer = self.tailer()
        tailer.start()
        told = self.told(tailer)
        with open(self.path, "ab") as file:
            file.write(b"d")
        assert (yield told) == 4

    @defer.inlineCallbacks
    def test_what_is_durable(self) -> Any:
        """The writer's word wakes the tailer, also after its file was removed; the log's growth does not."""
        tailer, writer = self.tailer(), DurableFile(self.path)
        log = os.open(self.path, os.O_RDWR)
        self.addCleanup(os.close, log)
        self.addCleanup(writer.leave)
        tailer.start()
        writer.begin(log, 3, refused=False)
        for number in range(4, 8):
            told = self.told(tailer)
            os.pwrite(log, b"d", number - 1)
            if number == 6:
                durable_path(self.path).unlink()
            writer.publish(number)
            assert (yield told) == number
            yield task.deferLater(self.reactor, 0)
        looks: list[None] = []
        self.patch(tailer, "look", lambda: looks.append(None))
        yield task.deferLater(self.reactor, 0)  # the look for what was said before the watch began
        looks.clear()
        os.pwrite(log, b"d", 7)
        for _ in range(3):
            yield task.deferLater(self.reactor, 0)
        assert looks == []
        assert tailer._notifier.connected

    @defer.inlineCallbacks
    def test_many_notices_are_few_looks(self) -> Any:
        tailer = self.tailer()
        tailer.start()
        told = self.told(tailer)
        for _ in range(100):
            with open(self.path, "ab") as file:
                file.write(b"d")
        assert (yield told) == 103

    @defer.inlineCallbacks
    def test_truncation_and_replacement(self) -> Any:
        tailer = self.tailer()
        tailer.start()
        for happen, words in (
            (lambda: os.truncate(self.path, 0), "truncated"),
            (lambda: self.replace(b"other"), "replaced"),
            (lambda: self.replace(b"another one"), "replaced"),
            (self.path.unlink, "disappeared"),
        ):
            told = self.told(tailer, loss=True)
            happen()
            assert words in (yield told)
            yield task.deferLater(self.reactor, 0)  # we are called from within the look that saw the loss
        assert tailer.length == 0

    def replace(self, content: bytes) -> None:
        other = self.path.with_name("other")
        other.write_bytes(content)
        os.rename(other, self.path)

    def test_nothing_is_left_after_stop(self) -> None:
        before = os.listdir("/proc/self/fd")
        tailer = self.tailer()
        tailer.start()
        assert len(os.listdir("/proc/self/fd")) == len(before) + 2
        tailer.stop()
        assert os.listdir("/proc/self/fd") == before

    def test_stopped_with_a_notice_under_way(self) -> None:
        tailer = self.tailer()
        tailer.start()
        tailer._noticed(None, None, 0)
        tailer.stop()

    def test_descriptor_is_closed_once(self) -> None:
        """A reactor that ends has closed it before the tailer is stopped; its number may be another's by then."""
        tailer = self.tailer()
        tailer.start()
        notifier = tailer._notifier
        notifier.connectionLost(None)
        tailer.stop()
        assert self.flushLoggedErrors() == []
        assert tailer._notifier is None

    def test_without_inotify(self) -> None:
        tailer = self.tailer(use_inotify=False)
        tailer.start()
        assert tailer._notifier is None

    def test_kernel_refuses_inotify(self) -> None:
        """No descriptors left for inotify (its default is 128 for a user): polling does the work."""
        from twisted.internet import inotify

        class Refusing:
            @staticmethod
            def init() -> int:
                raise inotify.INotifyError("too many")

        self.patch(inotify.INotify, "_inotify", Refusing)
        clock = task.Clock()
        tailer = WalTailer(_Both(clock, self.reactor), self.path)
        self.addCleanup(tailer.stop)
        tailer.start()
        with open(self.path, "ab") as file:
            file.write(b"d")
        clock.advance(0.05)
        assert tailer.length == 4
        assert self.flushLoggedErrors() == []

    def test_watch_refused(self) -> None:
        """The kernel gives an instance but no watch: the instance is given back."""
        from twisted.internet import inotify
        from twisted.python import _inotify

        class Refusing:
            init = staticmethod(_inotify.init)

            @staticmethod
            def add(*_: object) -> int:
                raise inotify.INotifyError("no space left on device")

        self.patch(inotify.INotify, "_inotify", Refusing)
        before = len(os.listdir("/proc/self/fd"))
        tailer = self.tailer()
        tailer.start()
        assert len(os.listdir("/proc/self/fd")) == before + 1

    def test_system_without_inotify(self) -> None:
        with mock.patch.dict(sys.modules, {"twisted.internet.inotify": None}):
            tailer = self.tailer()
            tailer.start()
        assert tailer.length == 3
        assert tailer._notifier is None


@implementer(IReactorTime)
class _Both:
    """A reactor with the time of a clock."""

    def __init__(self, clock: task.Clock, reactor: Any) -> None:
        from twisted.internet.interfaces import IReactorFDSet
        from zope.interface import directlyProvides

        directlyProvides(self, IReactorTime, IReactorFDSet)
        self._clock = clock
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock if hasattr(self._clock, name) else self._reactor, name)

"""The life of a service: it opens, runs, and closes, on demand or because it cannot go on; and again.

=============  ==================================================================================
state          what may come
=============  ==================================================================================
stopped        start
starting       opened; or stop, fail: opening is cancelled, then everything is closed
running        stop, fail
stopping       closed; start leads to restarting
restarting     closed, and it starts; stop leads back to stopping
failing        closed, and it has failed; start leads to restarting
failed         start; stop
=============  ==================================================================================

Everything that comes at another time changes nothing: `start` of what runs, `stop` of what is stopped, and an
error of what is being closed already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from automat import TypeMachineBuilder
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure

from spgrepl.base.failures import named_error
from spgrepl.base.observers import OneShot
from spgrepl.errors import ServiceStopped, SpgReplError
from spgrepl.text.role_log import RoleLogger


class _Life(Protocol):
    """What may happen to a service."""

    def start(self) -> None:
        """It is to run."""

    def stop(self) -> None:
        """It is to run no more."""

    def opened(self) -> None:
        """Everything is open."""

    def fail(self, error: SpgReplError) -> None:
        """It cannot go on."""

    def closed(self) -> None:
        """Everything is closed."""


class _Run:
    """One run of a service, from its start to its end."""

    def __init__(self) -> None:
        self.ready: OneShot[None] = OneShot()
        self.finished: OneShot[None] = OneShot()
        self.error: SpgReplError | None = None

    @property
    def heard(self) -> bool:
        """Whether anybody would be told of an error."""
        return self.ready.heard or self.finished.heard

    def end(self, stopped: ServiceStopped) -> None:
        """Tell those who wait."""
        self.ready.fire(Failure(self.error or stopped))
        self.finished.fire(None if self.error is None else Failure(self.error))


class _Core:
    """What the states have in common.

    Attributes:
        run: The run that is under way, or the next one.
        last: The run that has ended; None where there was none.
        idle: Whether no run is under way, nor ordered.
        ending: Whether everything is closed, or being closed.
    """

    log = RoleLogger()

    def __init__(
        self, name: str, open_all: Callable[[], Deferred[object]], close_all: Callable[[], Deferred[None]]
    ) -> None:
        self.name = name
        self.open_all = open_all
        self.close_all = close_all
        self.run = _Run()
        self.last: _Run | None = None
        self.idle = True
        self.ending = True
        self._opening: Deferred[None] | None = None
        self._ended: list[_Run] = []
        self._stopped: OneShot[None] = OneShot()
        self._depth = 0
        self._to_tell: list[Callable[[], None]] = []

    # -- telling ------------------------------------------------------------------------------------------------

    def drive(self, happens: Callable[[], None]) -> None:
        """Let something happen, then tell those who wait: when all states are what they are told."""
        self._depth += 1
        try:
            happens()
        finally:
            self._depth -= 1
        while self._to_tell and not self._depth:
            self._to_tell.pop(0)()

    def tell_ready(self) -> None:
        """Everything is open, unless somebody stops it before that is told."""
        run = self.run
        self._to_tell.append(lambda: None if self.ending else run.ready.fire(None))

    # -- opening ------------------------------------------------------------------------------------------------

    def begin(self, life: _Life) -> None:
        """Open everything."""
        self.idle = self.ending = False
        run = self.run

        def opened(_: object) -> None:
            if run is self.run and not self.ending:
                self._opening = None
                self.drive(life.opened)

        def not_opened(failure: Failure) -> None:
            if run is self.run and not self.ending:
                self._opening = None
                self.drive(partial(life.fail, named_error(failure, self.log)))
            elif not failure.check(CancelledError, SpgReplError):
                self.log.failure("unexpected error while {what} was being stopped", failure, what=self.name)

        opening = maybeDeferred(self.open_all).addCallbacks(opened, not_opened)
        opening.addErrback(lambda failure: self.log.failure("{what} has a defect", failure, what=self.name))
        if not opening.called and not self.ending:
            self._opening = opening

    # -- closing ------------------------------------------------------------------------------------------------

    def end(self, life: _Life, error: SpgReplError | None = None) -> None:
        """Close everything."""
        self.ending = True
        self.run.error = error
        if self.run.ready.fired:
            # It is ready no more: who asks now is told how it ends.
            self.run.ready = OneShot()
        if error is not None and not self.run.heard:
            self.log.error("{what} stops: {error}", what=self.name, error=error)
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
        closing = maybeDeferred(self.close_all)
        closing.addErrback(lambda failure: self.log.failure("while closing {what}", failure, what=self.name))
        closing.addCallback(lambda _: self.drive(life.closed))

    def when_stopped(self) -> Deferred[None]:
        """Wait until everything is closed; to be asked before `stop`, which may tell at once."""
        return self._stopped.wait()

    def tell_stopped(self) -> None:
        """Everything is closed already."""
        stopped, self._stopped = self._stopped, OneShot()
        self._to_tell.append(partial(stopped.fire, None))

    def order(self) -> None:
        """It is to start again as soon as everything is closed."""
        self._ended.append(self.run)
        self.run = _Run()

    def settle(self) -> None:
        """Everything is closed, and stays so."""
        self.order()
        self.idle = True
        self.ended()

    def ended(self) -> None:
        """Everything is closed: tell those who wait for that, and for the ends of runs."""
        ended, self._ended = self._ended, []
        self.last = ended[-1]
        for run in ended:
            self._to_tell.append(partial(run.end, ServiceStopped(f"{self.name} was stopped")))
        self.tell_stopped()


_builder = TypeMachineBuilder(_Life, _Core)
_stopped = _builder.state("stopped")
_starting = _builder.state("starting")
_running = _builder.state("running")
_stopping = _builder.state("stopping")
_restarting = _builder.state("restarting")
_failing = _builder.state("failing")
_failed = _builder.state("failed")


@_stopped.upon(_Life.start).to(_starting)
@_failed.upon(_Life.start).to(_starting)
def _begin(life: _Life, core: _Core) -> None:
    core.begin(life)


@_starting.upon(_Life.opened).to(_running)
def _tell_ready(_life: _Life, core: _Core) -> None:
    core.tell_ready()


@_starting.upon(_Life.stop).to(_stopping)
@_running.upon(_Life.stop).to(_stopping)
def _end(life: _Life, core: _Core) -> None:
    core.end(life)


@_starting.upon(_Life.fail).to(_failing)
@_running.upon(_Life.fail).to(_failing)
def _give_up(life: _Life, core: _Core, error: SpgReplError) -> None:
    core.end(life, error)


@_stopping.upon(_Life.start).to(_restarting)
@_failing.upon(_Life.start).to(_restarting)
def _order(_life: _Life, core: _Core) -> None:
    core.order()


_stopping.upon(_Life.stop).loop().returns(None)
_failing.upon(_Life.stop).loop().returns(None)
_restarting.upon(_Life.stop).to(_stopping).returns(None)


@_stopping.upon(_Life.closed).to(_stopped)
@_failing.upon(_Life.closed).to(_failed)
def _end_run(_life: _Life, core: _Core) -> None:
    core.settle()


@_restarting.upon(_Life.closed).to(_starting)
def _begin_again(life: _Life, core: _Core) -> None:
    core.ended()
    core.begin(life)


@_stopped.upon(_Life.stop).loop()
@_failed.upon(_Life.stop).to(_stopped)
def _is_stopped(_life: _Life, core: _Core) -> None:
    core.tell_stopped()


for _state in (_starting, _running, _restarting):
    _state.upon(_Life.start).loop().returns(None)
for _state in (_stopped, _stopping, _restarting, _failing, _failed):
    _state.upon(_Life.fail).loop().returns(None)
for _state in (_stopped, _running, _stopping, _restarting, _failing, _failed):
    # What was opened while somebody stopped it at once.
    _state.upon(_Life.opened).loop().returns(None)

_build = _builder.build()


class LifeCycle:
    """Opens and closes a service, as often as it is asked to, in whatever order.

    Whoever waits for the start or the end of a run gets a Deferred of its own. An error that nobody waits for is
    logged.

    Args:
        name: The service, for logs and errors.
        open_all: Opens everything. Its Deferred is cancelled when the service is stopped meanwhile.
        close_all: Closes everything that is open; called once for each call of `open_all`, also for one that has
            failed or was cancelled.
    """

    def __init__(
        self, name: str, open_all: Callable[[], Deferred[object]], close_all: Callable[[], Deferred[None]]
    ) -> None:
        self._core = _Core(name, open_all, close_all)
        self._life = _build(self._core)

    @property
    def ending(self) -> bool:
        """Whether everything is closed, or being closed."""
        return self._core.ending

    @property
    def ready(self) -> bool:
        """Whether everything is open."""
        return not self._core.ending and self._core.run.ready.fired

    @property
    def error(self) -> SpgReplError | None:
        """What ended the last run, until the next one begins."""
        last = self._core.last if self._core.idle else self._core.run
        return None if last is None else last.error

    def start(self) -> None:
        """Open everything; after everything is closed, where that is under way."""
        self._core.drive(self._life.start)

    def stop(self) -> Deferred[None]:
        """Close everything.

        Returns:
            A Deferred that fires when everything is closed.
        """
        stopped = self._core.when_stopped()
        self._core.drive(self._life.stop)
        return stopped

    def fail(self, error: SpgReplError) -> None:
        """Close everything because it is impossible to go on."""
        self._core.drive(partial(self._life.fail, error))

    def when_ready(self) -> Deferred[None]:
        """Wait for the start.

        Returns:
            A Deferred that fires when everything is open, at once where it is. It fails with the error for which
            that did not come about, or with `ServiceStopped`. Before a start it waits for that.
        """
        core = self._core
        failed = core.idle and core.last is not None and core.last.error is not None
        return core.last.ready.wait() if failed and core.last is not None else core.run.ready.wait()

    def when_finished(self) -> Deferred[None]:
        """Wait for the end.

        Returns:
            A Deferred that fires with None when everything is closed because that was asked for, and fails with
            the error that made it impossible to go on. After a run it tells of that one, until the next begins.
        """
        core = self._core
        return core.last.finished.wait() if core.idle and core.last is not None else core.run.finished.wait()

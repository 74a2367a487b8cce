"""What systemd is told of a process of ``Type=notify``: that it is ready, how it is, that it lives, that it ends.

The protocol is one datagram of ``KEY=value`` lines to the socket that ``$NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from spgrepl.base.beat import Beat
from spgrepl.text.quantities import number_of

EVERY = 1.0
"""Seconds between two looks at the roles; systemd is told only what has changed."""

Statuses = Callable[[], Sequence[Mapping[str, Any]]]


class NotifySocket:
    """The socket that systemd listens on.

    Args:
        address: What ``$NOTIFY_SOCKET`` says: a path, or a name that begins with ``@``.
    """

    _log = Logger()

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failed = False

    def send(self, **fields: object) -> None:
        """Send a message. That nobody takes it is logged once, and no reason to end."""
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
                end.setblocking(False)
                end.sendto(text.encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._failed:
                self._log.warn("systemd cannot be told how this is: {error}", error=error)
            self._failed = True


class SystemdNotifier(Service):
    """Tells systemd how the roles of a process are.

    The watchdog is fed while the reactor turns and every copy makes progress: one that streams, has bytes to
    apply and moves no position while its engine is idle stands still, and only a new start helps.

    Args:
        clock: The reactor, or a clock.
        notify: Where systemd listens.
        statuses: The status of every role.
        watchdog: After how many seconds without food systemd ends the process; None where it does not.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, notify: NotifySocket, statuses: Statuses, watchdog: float | None = None
    ) -> None:
        self._notify = notify
        self._statuses = statuses
        self._progress = Progress(watchdog or 0.0)
        self._watchdog = watchdog
        self._beat = Beat(clock, self._tick, EVERY if watchdog is None else min(EVERY, watchdog / 3))
        self._ready = False
        self._said = ""

    def startService(self) -> None:
        """Begin."""
        Service.startService(self)
        self._ready = False
        self._said = ""
        self._beat.start()

    def stopService(self) -> None:
        """Say that the process ends."""
        Service.stopService(self)
        self._beat.stop()
        self._notify.send(STOPPING=1, STATUS="stopping")

    def reloading(self) -> None:
        """Say that the configuration is being read again."""
        self._notify.send(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def reloaded(self) -> None:
        """Say that it was."""
        self._notify.send(READY=1)

    def _tick(self) -> None:
        try:
            statuses = self._statuses()
            text = status_line(statuses)
            if not self._ready and all(status["state"] != "starting" for status in statuses):
                self._ready = True
                self._notify.send(READY=1)
            if text != self._said:
                self._said = text
                self._notify.send(STATUS=text)
            if self._watchdog is not None and self._progress.goes_on(statuses, time.monotonic()):
                self._notify.send(WATCHDOG=1)
        except Exception:  # noqa: BLE001 - logged; the watchdog starves where it lasts
            self._log.failure("systemd could not be told how this is")


class Progress:
    """Says whether copies go on.

    Args:
        patience: For how many seconds one may stand still.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._moved: dict[tuple[str, str], tuple[object, float]] = {}

    def goes_on(self, statuses: Sequence[Mapping[str, Any]], now: float) -> bool:
        """Whether every copy has moved, has nothing to do, or has a batch in its engine's hands."""
        still = [status for status in statuses if not self._one(status, now)]
        return not still

    def _one(self, status: Mapping[str, Any], now: float) -> bool:
        key = (status["role"], status.get("name") or "")
        where = tuple(status["positions"].values())
        idle = (
            status["state"] != "streaming" or not status["lag"]["bytes"] or bool(status.get("open_transactions"))
        )
        before = self._moved.get(key)
        if idle or before is None or before[0] != where:
            self._moved[key] = (where, now)
            return True
        return now - before[1] < self._patience


def status_line(statuses: Sequence[Mapping[str, Any]]) -> str:
    """How the roles are, in a line for ``systemctl status``."""
    return "; ".join(map(_one_status, statuses)) or "no role"


def _one_status(status: Mapping[str, Any]) -> str:
    said = f"{status['role']} {status.get('name') or ''}: {status['state']}"
    if status["role"] == "master":
        said += f", {status.get('connections', 0)} connected"
    elif status["lag"]["seconds"] is not None:
        said += f", lag {number_of(status['lag']['bytes'] or 0, 'byte')}, {status['lag']['seconds']:.0f} s"
    else:
        said += ", lag unknown"
    kinds = Counter(problem["kind"] for problem in status.get("problems") or ())
    shown = ", ".join(kind if times == 1 else f"{times} {kind}" for kind, times in kinds.items())
    return said + (f" ({shown})" if shown else "")


def notifier_for(
    clock: IReactorTime, statuses: Statuses, environment: Mapping[str, str] = os.environ
) -> SystemdNotifier | None:
    """Make what tells systemd; None where the process was not started by it with ``Type=notify``."""
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return None
    interval = environment.get("WATCHDOG_USEC")
    meant = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
    watchdog = int(interval) / 1e6 if interval and interval.isdigit() and int(interval) and meant else None
    return SystemdNotifier(clock, NotifySocket(address), statuses, watchdog)

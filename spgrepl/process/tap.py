"""``twistd spgrepl master``, ``… follower``, ``… subscriber`` and ``… run``: options in, a service out.

Wrong options end the process with a usage message and exit code 64, settings that cannot work with 78; a follower
whose master has a different history ends it with 76. All codes are those of `sysexits`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.python import usage

from spgrepl.errors import EXIT_USAGE, SpgReplError, unusable_file
from spgrepl.process.heap import HeapKeeper
from spgrepl.process.notify import SystemdNotifier, notifier_for
from spgrepl.process.run_options import RunOptions
from spgrepl.process.service import ProcessService
from spgrepl.process.signals import HangupListener, release_hangups
from spgrepl.server.exit_code import ExitCode, end_process
from spgrepl.server.plain_usage import PlainUsage
from spgrepl.server.promoted import go_on_when_promoted
from spgrepl.server.role import Role
from spgrepl.server.role_options import FollowerOptions, MasterOptions, SubscriberOptions
from spgrepl.server.roles import FollowerRole

__all__ = ["FollowerOptions", "MasterOptions", "Options", "RunOptions", "SubscriberOptions", "makeService"]


class Options(PlainUsage):
    """The options of ``twistd spgrepl``."""

    synopsis = "twistd [options] spgrepl master|follower|subscriber|run [options]"
    subCommands = [
        ["master", None, MasterOptions, "Serve a database and its log to followers."],
        ["follower", None, FollowerOptions, "Keep an exact copy of a master's database."],
        ["subscriber", None, SubscriberOptions, "Keep some tables of a master's database."],
        ["run", None, RunOptions, "Run the roles that a file names, in one process."],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, and end the process with exit code 64 where that fails: twistd would end it with 1."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            refused: Any = getattr(self, "subOptions", self)
            print(f"Usage: {refused.synopsis}\n\ntwistd spgrepl: {error}", file=sys.stderr)
            role = f" {self.subCommand}" if refused is not self else ""
            print(f"See `twistd spgrepl{role} --help`.", file=sys.stderr)
            raise SystemExit(EXIT_USAGE) from error
        if self.subCommand != "run":
            release_hangups()

    def postOptions(self) -> None:
        """Refuse to run without a role."""
        if self.subCommand is None:
            raise usage.UsageError(
                "say what to run: master, follower or subscriber, or with run what a file names"
            )


def makeService(options: Options) -> IService:
    """Make the service that twistd runs."""
    from twisted.internet import reactor  # the process's reactor: it is twistd's, and there is no other way to it

    heap = HeapKeeper(reactor)  # before there are threads
    chosen = options.subOptions
    try:
        role: Role | ProcessService = chosen.role(reactor)
    except SpgReplError as error:
        print(f"twistd spgrepl {options.subCommand}: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    except OSError as error:  # a path that cannot be looked at
        unusable = unusable_file(error, f"{error.filename or 'a file'} cannot be used")
        print(f"twistd spgrepl {options.subCommand}: {unusable}", file=sys.stderr)
        raise SystemExit(unusable.exit_code) from error
    exit_code = ExitCode()
    role.finished.addErrback(end_process, exit_code, reactor)
    return _with_company(role, heap, reactor, exit_code)


def _with_company(role: Role | ProcessService, heap: HeapKeeper, reactor: Any, exit_code: ExitCode) -> IService:
    """A role, with what gives memory back, listens for signals, and tells systemd where that is asked for."""
    process = role if isinstance(role, ProcessService) else None
    present: list[Role] = [role] if isinstance(role, Role) else []
    if isinstance(role, FollowerRole):
        go_on_when_promoted(reactor, role, exit_code, partial(present.__setitem__, 0))
    statuses = role.statuses if isinstance(role, ProcessService) else lambda: [one.status() for one in present]
    notifier = notifier_for(reactor, statuses)
    service: IService = role
    everything = MultiService()
    heap.setServiceParent(everything)  # type: ignore[no-untyped-call]
    if notifier is not None:
        notifier.setServiceParent(everything)  # type: ignore[no-untyped-call]
    service.setServiceParent(everything)
    if process is not None:
        HangupListener(reactor, partial(_read_again, process, notifier)).setServiceParent(
            everything  # type: ignore[no-untyped-call]
        )
    return everything


def _read_again(process: ProcessService, notifier: SystemdNotifier | None) -> None:
    if notifier is None:
        process.reload()
        return
    notifier.reloading()
    process.reload().addBoth(lambda _: notifier.reloaded())

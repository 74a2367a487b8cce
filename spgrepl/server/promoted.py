"""A follower's process that goes on as a master, once its copy was promoted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater

from spgrepl.failover.promotion import Promoted
from spgrepl.server.exit_code import ExitCode, end_process
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.text.role_log import RoleLogger

_log = RoleLogger()


def successor(reactor: Any, promoted: Promoted, follower: FollowerRole) -> MasterRole | None:
    """The master that takes a follower's place, and says so; None where the follower served nobody."""
    settings = follower.as_master()
    # It has ended by now: of a process with several roles these lines would be another one's.
    with follower.speaking():
        for line in promoted.lines():
            _log.warn("{line}", line=line)
        if settings is None:
            _log.warn("this follower served nobody: start a master on its files")
            return None
        _log.warn("going on as a master: start it as one from now on")
    return MasterRole(reactor, settings)


def go_on_when_promoted(
    reactor: Any, follower: FollowerRole, exit_code: ExitCode, replaced: Callable[[MasterRole], None]
) -> None:
    """Put a master in a follower's place when its copy is promoted; where it served nobody, end the process.

    Args:
        reactor: The reactor.
        follower: The follower, which has a parent when that happens.
        exit_code: The code that the process ends with.
        replaced: Told of the master.
    """
    taken: Deferred[None] = follower.when_promoted().addCallback(
        _take_over, reactor, follower, exit_code, replaced
    )
    taken.addErrback(lambda failure: _log.failure("after the promotion", failure))


@inlineCallbacks
def _take_over(
    promoted: Promoted,
    reactor: Any,
    follower: FollowerRole,
    exit_code: ExitCode,
    replaced: Callable[[MasterRole], None],
) -> Any:
    master: Any = successor(reactor, promoted, follower)
    parent: Any = follower.parent
    if master is None or parent is None:
        # Whoever ordered it is answered when this returns; the next turn of the reactor sends that.
        for _ in range(2):
            yield deferLater(reactor, 0)
        reactor.stop()
        return
    yield parent.removeService(follower)
    replaced(master)
    master.finished.addErrback(end_process, exit_code, reactor)
    master.setServiceParent(parent)

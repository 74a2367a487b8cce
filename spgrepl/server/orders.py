"""Orders to a running follower that are not SQL: to become a primary, to leave a record out; and what they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks

from spgrepl.base.observers import OneShot
from spgrepl.base.reading import thread_runner
from spgrepl.base.results import QueryResult
from spgrepl.errors import PromotionRefused
from spgrepl.failover.promotion import Promoted, promote_copy
from spgrepl.server.role import Role
from spgrepl.server.role_settings import FollowerSettings, MasterSettings

_PROMOTE = re.compile(r"\s*PROMOTE(\s+FORCE)?\s*;?\s*", re.IGNORECASE)
_SKIP = re.compile(r"\s*SKIP\s+RECORD\s+AT\s+(\d{1,20})\s+CRC\s+'?([0-9a-f]{1,8})'?\s*;?\s*", re.IGNORECASE)


class FollowerOrders:
    """Takes ``PROMOTE [FORCE]`` and ``SKIP RECORD AT position CRC crc``, and hands on all else.

    Args:
        statements: Executes what else is asked of a server.
        promote: Makes the copy a primary's database; see `spgrepl.server.roles.FollowerRole.promote`.
        skip: Leaves a record out, by its position and CRC.
    """

    def __init__(
        self,
        statements: Callable[[str], Deferred[QueryResult]],
        promote: Callable[[bool], Deferred[Promoted]],
        skip: Callable[[int, int], Deferred[Any]],
    ) -> None:
        self._statements = statements
        self._promote = promote
        self._skip = skip

    def run(self, sql: str) -> Deferred[QueryResult]:
        """Carry out an order, or a statement; see `spgrepl.catalogue.server_statements.ServerStatements.run`."""
        order = _PROMOTE.fullmatch(sql)
        if order is not None:
            return self._promote(order[1] is not None).addCallback(_as_row)
        order = _SKIP.fullmatch(sql)
        if order is not None:
            skipping = self._skip(int(order[1]), int(order[2], 16))
            return skipping.addCallback(lambda _: QueryResult((), []))
        return self._statements(sql)


def _as_row(promoted: Promoted) -> QueryResult:
    return QueryResult(("position", "said"), [(str(promoted.position), "\n".join(promoted.lines()))])


def why_behind(status: dict[str, Any]) -> str | None:
    """Why a follower may lack something that its master had; None where it is known to have all.

    Args:
        status: What the follower says of itself.
    """
    here, there = status["positions"]["durable"], status["positions"]["source"]
    if here is None:
        return "it has no copy yet"
    if there is None:
        return "it has heard nothing of its master since it was started, so nobody knows how far that was"
    if here < there:
        return f"its master's log ended at {there} when it was last heard, and only {here} has come"
    return None


class Promotable(Role):
    """The part of a follower's role that makes its copy a primary's database."""

    kind = "follower"

    def __init__(self, reactor: Any, name: str, settings: FollowerSettings) -> None:
        super().__init__(name, settings.watch.named(settings.paths.database.name))
        self._settings = settings
        self._in_promotion_thread = thread_runner(reactor)
        self._promoted: OneShot[Promoted] = OneShot()

    @inlineCallbacks
    def promote(self, forced: bool = False) -> Any:
        """Stop following, and make the copy a primary's database, whose log goes on where the copy's ends.

        The role is stopped then: open a `Primary` on its files, and serve it as a `MasterRole`. Where the copy
        cannot be promoted it goes on following.

        Args:
            forced: Whether to do so although the copy may lack something that its master had.

        Returns:
            A Deferred of what was done. It fails as `spgrepl.failover.promotion.promote_copy` does.
        """
        if self._settings.engine != "sqlite":
            raise PromotionRefused(f"a copy of the engine {self._settings.engine} is not a whole database")
        paths, most = self._settings.paths, self._settings.max_record
        reason = why_behind(self.status())
        if reason is not None and not forced:
            raise PromotionRefused(f"{paths.database} may lack something: {reason}. --force promotes it as it is")
        yield self.stopService()
        try:
            promoted = yield self._in_promotion_thread(
                partial(promote_copy, paths, forced=forced, max_record=most)
            )
        except BaseException:
            self.startService()
            raise
        self._promoted.fire(promoted)
        return promoted

    def when_promoted(self) -> Deferred[Promoted]:
        """Wait until the copy was made a primary's database, by `promote` or by ``spgrepl promote``."""
        return self._promoted.wait()

    def as_master(self) -> MasterSettings | None:
        """What a master serves that takes the follower's place; None where that served nobody."""
        settings = self._settings
        if settings.listen is None:
            return None
        # Whatever both have is the same: nothing is forgotten that is added to them.
        both = [name for name in attrs.fields_dict(MasterSettings) if hasattr(settings, name)]
        return MasterSettings(**{name: getattr(settings, name) for name in both})

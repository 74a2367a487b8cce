"""The service of a process with many roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, fail, inlineCallbacks, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.access.endpoints import server_endpoint
from spgrepl.base.failures import named_error
from spgrepl.base.living_service import LivingService
from spgrepl.errors import SpgReplError, UsageError
from spgrepl.failover.promotion import Promoted
from spgrepl.process.configuration import ProcessConfiguration, RoleEntry
from spgrepl.server.promoted import successor
from spgrepl.server.role import HttpService, Role
from spgrepl.server.roles import FollowerRole
from spgrepl.server.status.resource import build_site
from spgrepl.text.log_words import SqlInLogs, for_log
from spgrepl.text.quantities import number_of
from spgrepl.watch.metrics import Watched
from spgrepl.watch.site import SiteWatch

Load = Callable[[], ProcessConfiguration]


class ProcessService(LivingService):
    """Runs the roles of a configuration, and shows all of them on one site.

    A role that cannot go on ends the process, or, with ``on-failure = "go-on"``, is shown as stopped while the
    others go on.

    Args:
        reactor: The reactor.
        configuration: What to run.
        load: Reads the configuration again, for `reload`.
    """

    _log = Logger()

    def __init__(self, reactor: Any, configuration: ProcessConfiguration, load: Load) -> None:
        super().__init__(f"the roles of {configuration.file}")
        self._reactor = reactor
        self._load = load
        self._lock = DeferredLock()
        self._roles: dict[tuple[str, str], tuple[RoleEntry, Role]] = {}
        self._watched: list[Watched] = []
        self._http: HttpService | None = None
        self.configuration = configuration
        for entry in configuration.roles:
            self._add(entry, entry.role(reactor))

    @property
    def roles(self) -> Mapping[str, Role]:
        """The roles by kind and name, such as ``follower berlin``."""
        return {" ".join(key): role for key, (_, role) in self._roles.items()}

    @property
    def http(self) -> HttpService | None:
        """What serves the site of all roles; None for nothing."""
        return self._http

    def statuses(self) -> list[dict[str, Any]]:
        """The status of every role."""
        return [role.status() for _, role in self._roles.values()]

    # -- the life of the process ------------------------------------------------------------------------------

    @inlineCallbacks
    def _open(self) -> Any:
        yield self._open_site()
        for _, role in list(self._roles.values()):
            self._start(role)

    @inlineCallbacks
    def _close_all(self) -> Any:
        for _, role in reversed(list(self._roles.values())):
            yield self._stop(role)
        http, self._http = self._http, None
        if http is not None:
            yield http.stopService()

    def _add(self, entry: RoleEntry, role: Role) -> None:
        self._roles[entry.key] = (entry, role)
        self._show()
        if isinstance(role, FollowerRole):
            promoted = role.when_promoted().addCallback(self._take_over, entry, role)
            promoted.addErrback(lambda failure: self._log.failure("after a promotion", failure))

    def _take_over(self, promoted: Promoted, entry: RoleEntry, follower: FollowerRole) -> None:
        """A follower's copy was promoted: a master takes its place, until the file says so too."""
        master = successor(self._reactor, promoted, follower)
        present = self._roles.get(entry.key)
        if master is None or present is None or present[1] is not follower:
            return
        self._roles[entry.key] = (entry, master)
        self._show()
        if self.running:
            self._start(master)

    def _show(self) -> None:
        # The same list for as long as the process lives: the site looks at it.
        self._watched[:] = [Watched(role.status, role.measures) for _, role in self._roles.values()]

    def _start(self, role: Role) -> None:
        role.startService()
        role.finished.addErrback(self._role_ended, role)

    def _role_ended(self, failure: Failure, role: Role) -> None:
        error = named_error(failure, self._log)
        name = role.status()["name"]
        if self.configuration.keep_going:
            self._log.error("{name} cannot go on, the others do: {error}", name=name, error=for_log(error))
        else:
            self._fail_with(error)

    def _stop(self, role: Service) -> Deferred[Any]:
        return maybeDeferred(role.stopService).addErrback(
            lambda failure: self._log.failure("a role was not stopped cleanly", failure)
        )

    def _open_site(self) -> Deferred[None] | None:
        if self.configuration.http is None:
            return None
        watch = SiteWatch(self._reactor, self._watched, self.configuration.ready_lag)
        site = build_site(self._reactor, lambda: {"roles": self.statuses()}, self._wait, watch=watch)
        self._http = HttpService(server_endpoint(self._reactor, self.configuration.http), site, watch)
        self._http.startService()
        return self._http.listen()

    def _wait(self, position: Any, timeout: float) -> Deferred[Any]:
        if len(self._roles) != 1:
            return fail(UsageError("several roles run here: ask the one that is meant, at its own --http"))
        ((_, role),) = self._roles.values()
        return role.when_applied(position, timeout)

    # -- reading the file again -------------------------------------------------------------------------------

    def reload(self) -> Deferred[None]:
        """Read the configuration again, and let it take effect.

        Roles that are told the same go on undisturbed; others are stopped, started, or both. Nothing changes
        where the file has a mistake, which is logged.

        Returns:
            A Deferred that fires when that is done.
        """
        return self._lock.run(self._reload).addErrback(
            lambda failure: self._log.failure("the configuration could not be read again", failure)
        )

    @inlineCallbacks
    def _reload(self) -> Any:
        try:
            wanted = self._load()
            known = {key: entry for key, (entry, _) in self._roles.items()}
            fresh = [(entry, entry.role(self._reactor)) for entry in wanted.roles if known.get(entry.key) != entry]
        except SpgReplError as error:
            self._allow_sql()
            self._log.error("nothing is changed, the configuration has a mistake: {error}", error=str(error))
            return
        before, self.configuration = self.configuration, wanted
        kept = {entry.key for entry in wanted.roles} - {entry.key for entry, _ in fresh}
        gone = [key for key in self._roles if key not in kept]
        for key in gone:
            _, role = self._roles.pop(key)
            self._show()
            yield self._stop(role)
        for entry, role in fresh:
            self._add(entry, role)
            if self.running:
                self._start(role)
        # In the order of the file.
        self._roles = {entry.key: self._roles[entry.key] for entry in wanted.roles}
        self._show()
        self._allow_sql()
        if self.running and (before.http, before.ready_lag) != (wanted.http, wanted.ready_lag):
            yield self._move_site()
        self._log.info(
            "{file} was read again: {kept} on, {fresh} started, {gone} stopped",
            file=wanted.file,
            kept=number_of(len(kept), "role goes", "roles go"),
            fresh=number_of(len(fresh), "was", "were"),
            gone=len(gone),
        )

    def _allow_sql(self) -> None:
        """Let SQL stand in the log while a role of the file wants it there, and no longer."""
        SqlInLogs.allowed = any("--log-sql" in entry.words for entry in self.configuration.roles)

    @inlineCallbacks
    def _move_site(self) -> Any:
        http, self._http = self._http, None
        if http is not None:
            yield http.stopService()
        try:
            yield self._open_site()
        except SpgReplError as error:
            self._log.error("the roles are shown nowhere: {error}", error=str(error))

"""Running the subscriptions of a primary's catalogue, each as a service of its own."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail, inlineCallbacks
from twisted.python.failure import Failure

from spgrepl.base.living_service import LivingService
from spgrepl.base.observers import OneShot
from spgrepl.base.reading import thread_runner
from spgrepl.catalogue.connection_string import connection_endpoint
from spgrepl.catalogue.statements import CreateSubscription
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.engines.targets.stored_state import state_of_row
from spgrepl.errors import ServiceStopped, SpgReplError, SubscriptionGone, UsageError
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.primary import Primary
from spgrepl.primary.running.subscription_target import PrimaryTarget
from spgrepl.replica.subscribing.origins import Origin
from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide, Subscription
from spgrepl.text.role_log import RoleLogger

_HAS_TABLE = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
_SUBSCRIPTIONS = "SELECT name, connection, publications FROM spgrepl_subscriptions ORDER BY name"
_STATE = "SELECT position, effective_start, publications, fence FROM spgrepl_subscriber WHERE name = ?"


class SubscriptionRunner(LivingService):
    """Runs what ``CREATE SUBSCRIPTION`` made on a primary, and stops what ``DROP SUBSCRIPTION`` removed.

    The rows are written through the primary, so its log has them and its followers get them. A subscription begins
    at its master's current end, as at an SPG server; to have the rows that are there already, use ``twistd spgrepl
    subscriber``. A follower's copy has no primary, so it never starts what it learned of its master's
    subscriptions.

    Args:
        reactor: The reactor.
        primary: The primary. Nothing runs before it is open.
        origin: Which rows its subscriptions take: of any origin, or only those that originated at their master.

    Attributes:
        workers: The services that run, by the subscription's name.
    """

    _log = RoleLogger()

    def __init__(self, reactor: Any, primary: Primary, origin: Origin = Origin.ANY) -> None:
        super().__init__(f"the subscriptions of {primary.paths.database}")
        self._reactor = reactor
        self._primary = primary
        self._origin = origin
        self._looking: OneShot[None] | None = None
        self._look_again = False
        self._definitions: dict[str, CreateSubscription] = {}
        self._errors: dict[str, str] = {}
        self.workers: dict[str, SubscriberService] = {}

    @inlineCallbacks
    def _open(self) -> Any:
        """Start the subscriptions that the catalogue holds, and watch it from now on."""
        yield self._primary.when_ready()
        self._primary.add_catalogue_listener(self.look)
        self._primary.server.skip = self.skip
        yield self._look()

    @inlineCallbacks
    def _close_all(self) -> Any:
        """Stop all workers; fires when the last one has let go of its master."""
        self._primary.remove_catalogue_listener(self.look)
        if self._primary.server.skip == self.skip:
            self._primary.server.skip = None
        if self._looking is not None:
            yield self._looking.wait()
        yield DeferredList([self._stop(name) for name in list(self._definitions)], consumeErrors=True)

    def status(self) -> dict[str, Any]:
        """The status of every subscription, by name; one that cannot run has an ``error`` alone."""
        running = {name: worker.status() for name, worker in self.workers.items()}
        return {**{name: {"error": error} for name, error in self._errors.items()}, **running}

    def skip(self, name: str, position: int, crc: int) -> Deferred[None]:
        """Leave out the record that a subscription has stopped at, once; its error names position and CRC.

        ``ALTER SUBSCRIPTION name SKIP (position = …, crc = '…')`` does the same.

        Args:
            name: The subscription.
            position: Where the record starts in the master's log, in bytes.
            crc: Its CRC-32.

        Returns:
            A Deferred that fires when the order is taken, or fails with `UsageError` where the subscription does
            not run, or has not stopped at this record.
        """
        worker = self.workers.get(name)
        if worker is None:
            running = ", ".join(sorted(self.workers)) or "none"
            return fail(UsageError(f"no subscription {name!r} runs here; those that run: {running}"))
        return worker.skip(position, crc)

    # -- following the catalogue --------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the catalogue, and start and stop what has to be."""
        self._look()

    def _look(self) -> Deferred[None]:
        """Look, or look again after the look that is under way; fires when what was seen is followed."""
        if self._looking is not None:
            self._look_again = True
            return self._looking.wait()
        self._looking = OneShot()
        self._look_again = False
        looked = self._looking.wait()
        self._follow().addErrback(self._not_followed).addCallback(self._looked)
        return looked

    def _looked(self, _: object) -> None:
        looking, self._looking = self._looking, None
        if self._look_again and not self._life.ending:
            self._look()
        if looking is not None:
            looking.fire(None)

    def _not_followed(self, failure: Failure) -> None:
        if failure.check(ServiceStopped):
            return
        self._log.failure("the subscriptions of the catalogue cannot be followed", failure)

    @inlineCallbacks
    def _follow(self) -> Any:
        wanted = yield self._read()
        places = yield self._read_places()
        gone = [
            name
            for name, definition in self._definitions.items()
            if wanted.get(name) != definition or self._is_stale(name, places)
        ]
        yield DeferredList([self._stop(name) for name in gone], consumeErrors=True)
        cluster_id = yield thread_runner(self._reactor)(lambda: load_cluster_id(self._primary.paths))
        for name, definition in wanted.items():
            if not self._life.ending and name not in self._definitions:
                self._start(definition, cluster_id)

    @inlineCallbacks
    def _read(self) -> Any:
        """The subscriptions of the catalogue, by name."""
        there = yield self._primary.query(_HAS_TABLE, ("spgrepl_subscriptions",))
        if not there.rows[0][0]:
            return {}
        found = yield self._primary.query(_SUBSCRIPTIONS)
        return {
            name: CreateSubscription(name, connection, tuple(json.loads(publications)))
            for name, connection, publications in found.rows
        }

    @inlineCallbacks
    def _read_places(self) -> Any:
        """The names of the subscriptions that have a place in the database."""
        there = yield self._primary.query(_HAS_TABLE, ("spgrepl_subscriber",))
        if not there.rows[0][0]:
            return set()
        found = yield self._primary.query("SELECT name FROM spgrepl_subscriber")
        return {name for (name,) in found.rows}

    def _is_stale(self, name: str, places: set[str]) -> bool:
        """Whether a worker goes on with a place that is gone: its subscription was dropped and made again."""
        worker = self.workers.get(name)
        return worker is not None and worker.begun and name not in places

    @inlineCallbacks
    def _read_state(self, name: str) -> Any:
        there = yield self._primary.query(_HAS_TABLE, ("spgrepl_subscriber",))
        if not there.rows[0][0]:
            return None
        found = yield self._primary.query(_STATE, (name,))
        state: SubscriptionState | None = state_of_row(name, found.rows[0]) if found.rows else None
        return state

    # -- workers ------------------------------------------------------------------------------------------------

    def _start(self, definition: CreateSubscription, cluster_id: int) -> None:
        name = definition.name
        self._definitions[name] = definition
        try:
            endpoint = connection_endpoint(self._reactor, definition.connection)
        except UsageError as error:
            self._errors[name] = str(error)
            self._log.error("the subscription {subscription} cannot run: {error}", subscription=name, error=error)
            return
        worker = SubscriberService(
            self._reactor,
            endpoint,
            PrimaryTarget(
                self._reactor,
                name,
                self._read_state,
                self._primary.run,
                # Of this very worker, which may be stopped, and another one started, while it writes.
                lambda: worker.origins.master,
            ),
            Subscription(name, definition.publications, copy_data=False, origin=self._origin, of_catalogue=True),
            SubscriberSide(cluster_id),
        )
        self.workers[name] = worker
        worker.finished.addErrback(self._ended, name)
        worker.startService()
        self._log.info("the subscription {subscription} is started", subscription=name)

    def _ended(self, failure: Failure, name: str) -> None:
        """A worker cannot go on; its status tells why until the subscription is dropped."""
        if failure.check(SpgReplError) is None:
            self._log.failure("the subscription {subscription} failed", failure, subscription=name)
        else:
            self._log.error(
                "the subscription {subscription} has ended: {error}", subscription=name, error=failure.value
            )
        if failure.check(SubscriptionGone):
            self.look()

    def _stop(self, name: str) -> Deferred[None]:
        del self._definitions[name]
        self._errors.pop(name, None)
        worker = self.workers.pop(name, None)
        done: Deferred[None] = Deferred()
        if worker is None:
            done.callback(None)
        else:
            self._log.info("the subscription {subscription} is being stopped", subscription=name)
            worker.stopService().chainDeferred(done)
        return done

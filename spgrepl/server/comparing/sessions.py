"""What comparisons have open in a server: its database as of one moment, held for some seconds at most."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import apsw
import attrs
from twisted.internet.defer import Deferred, DeferredLock, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall

from spgrepl.base.reading import RunInThread, thread_runner
from spgrepl.comparing.ends import ComparedEnd
from spgrepl.comparing.table_reader import KeyRange, Layout
from spgrepl.errors import EngineFailed, UsageError
from spgrepl.server.comparing import values

MOST_SESSIONS = 4
"""How many comparisons there may be at once."""

IDLE_SECONDS = 60.0
"""A comparison that asks nothing for so long is over: somebody has let go of it without a word."""

MOST_HELD = 60.0
"""A database is held for so many seconds at most, whatever is asked."""

Result = Mapping[str, Any]


@attrs.define(eq=False)
class _Session:
    """One comparison: its database, and what was asked of it in turn."""

    end: ComparedEnd
    lock: DeferredLock = attrs.Factory(DeferredLock)
    holding: contextlib.ExitStack = attrs.Factory(contextlib.ExitStack)
    idle: IDelayedCall | None = None
    held: IDelayedCall | None = None

    def close(self) -> None:
        self.holding.close()
        self.end.close()


class Comparisons:
    """Answers orders of comparisons of one database.

    Args:
        reactor: For the time.
        open_end: Opens the database, in a thread.
        name: What it is, for errors.
    """

    def __init__(self, reactor: Any, open_end: Callable[[], ComparedEnd], name: object) -> None:
        self._reactor = reactor
        self._in_thread: RunInThread = thread_runner(reactor)
        self._open_end = open_end
        self._database = name
        self._sessions: dict[str, _Session] = {}
        self._orders: dict[str, Callable[[_Session, dict[str, Any]], Result]] = {
            "stands": lambda session, _: values.standing_to_json(session.end.stands()),
            "look": lambda session, _: {"position": session.end.look()},
            "see": _see,
            "leave": _leave,
            "layouts": _layouts,
            "count": lambda session, order: {"rows": session.end.reader.count(_layout(order))},
            "fit": _fit,
            "stops": _stops,
            "sums": _sums,
            "rows": _rows,
        }

    def run(self, text: str) -> Deferred[Result]:
        """Carry out an order.

        Args:
            text: It, as JSON: ``do`` says what, ``session`` in which comparison.

        Returns:
            A Deferred of the answer. It fails with `UsageError` where the order is not one, and as the methods of
            `spgrepl.comparing.ends.ComparedEnd` do.
        """
        return self._run(text)

    @inlineCallbacks
    def _run(self, text: str) -> Any:
        try:
            order = json.loads(text)
            what, name = str(order["do"]), str(order.get("session", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"this is not an order of a comparison: {error!r}") from error
        if what == "open":
            return (yield self._open())
        session = self._sessions.get(name)
        if session is None:
            raise UsageError("this comparison is over: it asked for nothing for a minute, or the server has ended")
        self._wait(name, session)
        if what == "close":
            yield self._close(name)
            return {}
        if what in ("hold", "release"):
            return (yield self._hold(session, order) if what == "hold" else self._release(session))
        if what not in self._orders:
            raise UsageError(f"{what!r} is not an order of a comparison")
        return (yield session.lock.run(self._in_thread, partial(self._carry_out, what, session, order)))

    def _carry_out(self, what: str, session: _Session, order: dict[str, Any]) -> Result:
        try:
            return self._orders[what](session, order)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise UsageError(f"the order {what!r} of a comparison lacks something: {error!r}") from error
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be read: {error}") from error

    # -- sessions -------------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _open(self) -> Any:
        if len(self._sessions) >= MOST_SESSIONS:
            raise UsageError(f"{MOST_SESSIONS} comparisons are under way here: wait for the end of one")
        name = secrets.token_hex(8)
        end = yield self._in_thread(self._open_end)
        session = self._sessions[name] = _Session(end)
        self._wait(name, session)
        return {"session": name, "kind": end.reader.kind}

    def _wait(self, name: str, session: _Session) -> None:
        if session.idle is not None and session.idle.active():
            session.idle.cancel()
        session.idle = self._reactor.callLater(IDLE_SECONDS, self._close, name)

    def _close(self, name: str) -> Deferred[Any]:
        session = self._sessions.pop(name)
        for call in (session.idle, session.held):
            if call is not None and call.active():
                call.cancel()
        return session.lock.run(self._in_thread, session.close)

    def close(self) -> None:
        """End all comparisons."""
        for name in list(self._sessions):
            self._close(name)

    # -- holding --------------------------------------------------------------------------------------------------

    def _hold(self, session: _Session, order: dict[str, Any]) -> Deferred[Any]:
        seconds = min(float(order.get("seconds", 0)), MOST_HELD)

        def held(_: object) -> Result:
            session.held = self._reactor.callLater(seconds, self._release, session)
            return {}

        enter = partial(self._carry_out_holding, session)
        return session.lock.run(self._in_thread, enter).addCallback(held)

    def _carry_out_holding(self, session: _Session) -> None:
        try:
            session.holding.enter_context(session.end.holding())
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be held: {error}") from error

    def _release(self, session: _Session) -> Deferred[Any]:
        if session.held is not None and session.held.active():
            session.held.cancel()
        return session.lock.run(self._in_thread, session.holding.close).addCallback(lambda _: {})


def _see(session: _Session, _: dict[str, Any]) -> Result:
    session.end.see()
    return {}


def _leave(session: _Session, _: dict[str, Any]) -> Result:
    session.end.leave()
    return {}


def _layout(order: dict[str, Any]) -> Layout:
    return values.layout_from_json(order["table"])


def _range(order: dict[str, Any]) -> KeyRange:
    return values.range_from_json(order["range"])


def _layouts(session: _Session, order: dict[str, Any]) -> Result:
    names = order["names"]
    found = session.end.reader.layouts(None if names is None else list(map(str, names)))
    return {"tables": [values.layout_to_json(one) for one in found.values()]}


def _fit(session: _Session, order: dict[str, Any]) -> Result:
    found = session.end.reader.fit(_layout(order))
    if isinstance(found, str):
        return {"table": None, "unlike": found}
    return {"table": values.layout_to_json(found), "unlike": ""}


def _stops(session: _Session, order: dict[str, Any]) -> Result:
    """Some of the keys at which a range is cut."""
    found = session.end.reader.stops(_layout(order), _range(order))
    keys = list(islice(found, values.MOST_STOPS))
    return {"keys": [values.row_to_json(key) for key in keys], "more": len(keys) == values.MOST_STOPS}


def _sums(session: _Session, order: dict[str, Any]) -> Result:
    ranges = [values.range_from_json(one) for one in order["ranges"]]
    return {"sums": session.end.reader.sums(_layout(order), ranges)}


def _rows(session: _Session, order: dict[str, Any]) -> Result:
    """Some rows of a range, after those that were given already."""
    found: list[list[Any] | None] = []
    size = 0
    for row in _after(session, order, int(order["after"])):
        if len(found) >= values.MOST_ROWS or size > values.MOST_BYTES:
            return {"rows": found, "more": True}
        found.append(values.row_to_json(row))
        size += values.size_of(row)
    return {"rows": found, "more": False}


def _after(session: _Session, order: dict[str, Any], after: int) -> Iterator[tuple[Any, ...]]:
    number = 0
    for batch in session.end.reader.read(_layout(order), _range(order)):
        for row in batch:
            number += 1
            if number > after:
                yield row

"""A database of PostgreSQL that is compared: whose position counts there. Real servers: `test_pinned_server`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from spgrepl.comparing import server_end
from spgrepl.comparing.ends import Wanted
from spgrepl.comparing.server_end import ServerEnd
from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.postgresql.address import ServerAddress

ADDRESS = ServerAddress.parse("postgresql://user@host/name")


class Answer:
    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None

    def fetchall(self) -> list[Any]:
        return self.rows


class KnownServer:
    """What a server holds, and what it was asked."""

    def __init__(self) -> None:
        self.copies: list[Any] = []
        self.subscriptions: dict[str, int] = {}
        self.ours = True
        self.asked: list[tuple[str, Any]] = []

    def execute(self, sql: str, parameters: Any = None) -> Answer:
        self.asked.append((sql, parameters))
        if sql.startswith("SELECT position"):
            return Answer(self.copies)
        if sql.startswith("SELECT name"):
            return Answer([(name,) for name in sorted(self.subscriptions)])
        return Answer([])


class SessionOf:
    """A session on it, in the place of a real one."""

    server: KnownServer

    def __init__(self, _address: ServerAddress, _name: str) -> None:
        self.rolled_back = 0

    @contextlib.contextmanager
    def storing(self) -> Iterator[None]:
        yield

    def open(self) -> KnownServer:
        return self.server

    def rollback(self) -> None:
        self.rolled_back += 1

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> KnownServer:
    made = KnownServer()

    def read(_connection: KnownServer, name: str) -> SubscriptionState | None:
        return SubscriptionState(("p",), 0, made.subscriptions[name]) if name in made.subscriptions else None

    monkeypatch.setattr(SessionOf, "server", made, raising=False)
    monkeypatch.setattr(server_end, "Session", SessionOf)
    monkeypatch.setattr(server_end, "ServerReader", lambda _session: None)
    monkeypatch.setattr(server_end.own_schema, "is_there", lambda _connection: made.ours)
    monkeypatch.setattr(server_end, "read_subscription", read)
    monkeypatch.setattr(server_end, "state_of", lambda position, base, _: (ReplayState(position, base), 0, 0))
    return made


def test_the_copy_counts_where_there_is_one(server: KnownServer) -> None:
    server.copies, server.subscriptions = [(50, 10, "{}")], {"a": 7, "b": 9}
    assert ServerEnd(ADDRESS).look() == 50
    assert ServerEnd(ADDRESS, Wanted("a", alone=False)).look() == 50
    assert ServerEnd(ADDRESS, Wanted("b")).look() == 9


def test_else_the_only_subscription_does(server: KnownServer) -> None:
    server.subscriptions = {"a": 7}
    assert ServerEnd(ADDRESS).look() == 7
    server.subscriptions = {"a": 7, "b": 9}
    with pytest.raises(UsageError, match="has the subscriptions a, b"):
        ServerEnd(ADDRESS).look()
    with pytest.raises(ConfigurationError, match="no subscription c"):
        ServerEnd(ADDRESS, Wanted("c")).look()


def test_what_is_no_copy_is_named_by_its_address(server: KnownServer) -> None:
    server.ours = False
    with pytest.raises(ConfigurationError) as caught:
        ServerEnd(ADDRESS).look()
    assert str(caught.value) == f"{ADDRESS} is not the database of a follower or a subscriber"


def test_a_row_that_goes_away_meanwhile_is_said(server: KnownServer) -> None:
    server.copies = [(50, 10, "{}")]
    end = ServerEnd(ADDRESS)
    end.look()
    server.copies = []
    with pytest.raises(ConfigurationError, match="has lost the row"):
        end.look()


@pytest.mark.parametrize(("name", "table"), [(None, "copies"), ("a", "subscriptions")])
def test_the_row_that_moves_with_the_rows_is_held(server: KnownServer, name: str | None, table: str) -> None:
    server.copies, server.subscriptions = [(50, 10, "{}")], {"a": 7}
    end = ServerEnd(ADDRESS, Wanted(name))
    with pytest.raises(KeyError), end.holding():
        raise KeyError
    (begun, _), (held, parameters) = server.asked[-2:]
    assert begun == "BEGIN"
    assert held.endswith("FOR UPDATE")
    assert f".{table}" in held
    assert parameters == (None if name is None else (name,))
    assert end._holder.rolled_back == 1

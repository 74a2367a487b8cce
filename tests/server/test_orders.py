"""Orders to a running follower, and what a master takes over from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed

from spgrepl.access.policy import Access
from spgrepl.access.tls_files import TlsFiles
from spgrepl.base.results import QueryResult
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import PromotionRefused
from spgrepl.failover.promotion import Promoted
from spgrepl.log.transactions.groups import TransactionChoices
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.peers import NamedPeer
from spgrepl.server.orders import FollowerOrders, Promotable, why_behind
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.watch.settings import WatchSettings
from spgrepl.watch.status import RoleStatus


class Asked:
    """Takes every order, and keeps it."""

    def __init__(self) -> None:
        self.took: list[Any] = []
        self.orders = FollowerOrders(self._run, self._promote, self._skip)

    def _run(self, sql: str) -> Deferred[QueryResult]:
        self.took.append(sql)
        return succeed(QueryResult((), []))

    def _promote(self, forced: bool) -> Deferred[Promoted]:
        self.took.append(("promote", forced))
        return Deferred()

    def _skip(self, position: int, crc: int) -> Deferred[None]:
        self.took.append((position, crc))
        return succeed(None)


@pytest.mark.parametrize(
    ("sql", "taken"),
    [
        ("PROMOTE", ("promote", False)),
        (" promote  force ; ", ("promote", True)),
        ("SKIP RECORD AT 17 CRC 'ff'", (17, 255)),
        ("skip record at 17 crc 0000ff00;", (17, 65280)),
        ("PROMOTE NOW", "PROMOTE NOW"),
        ("SKIP RECORD AT -1 CRC ff", "SKIP RECORD AT -1 CRC ff"),
        ("SHOW wal_level", "SHOW wal_level"),
    ],
)
def test_an_order_is_taken_and_all_else_is_handed_on(sql: str, taken: object) -> None:
    asked = Asked()
    asked.orders.run(sql)
    assert asked.took == [taken]


@pytest.mark.parametrize(
    ("durable", "source", "why"),
    [
        (None, 9, "no copy yet"),
        (9, None, "heard nothing"),
        (8, 9, "ended at 9 .* only 8"),
        (9, 9, None),
        (10, 9, None),
    ],
)
def test_why_a_follower_may_lack_something(durable: int | None, source: int | None, why: str | None) -> None:
    found = why_behind({"positions": {"durable": durable, "source": source}})
    assert (found is None) if why is None else re.search(why, str(found))


class Follower(Promotable):
    """A follower's role without a follower."""

    def _describe(self) -> RoleStatus:
        raise AssertionError("nobody asks for its status")

    def _open_role(self) -> Deferred[Any]:
        return succeed(None)

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        return succeed(position)


def settings_in(folder: Path, **more: Any) -> FollowerSettings:
    master: Any = None
    return FollowerSettings(DatabasePaths.of(folder / "copy.db"), master, **more)


def test_a_follower_that_served_nobody_has_no_master_after_it(tmp_path: Path) -> None:
    assert Follower(None, "a follower", settings_in(tmp_path)).as_master() is None


def test_a_master_after_it_is_told_all_that_the_follower_was(tmp_path: Path) -> None:
    """Its TLS above all: without it the same port would be served in the clear."""
    listen, http = object(), object()
    told: dict[str, Any] = {
        "listen": listen,
        "http": http,
        "limits": MasterLimits(connections=7),
        "max_record": 12345,
        "segment_chunk": 4096,
        "wal_level": WalLevel(),
        "strict_publications": True,
        "transactions": TransactionChoices(drop_after=5.0),
        "peers": (NamedPeer.parse("berlin=10.0.0.1"),),
        "watch": WatchSettings("here"),
        "access": Access(),
        "tls": TlsFiles(tmp_path / "certificate.pem"),
    }
    settings = settings_in(tmp_path, **told)
    master = Follower(None, "a follower", settings).as_master()
    assert master is not None
    both = {field.name for field in attrs.fields(MasterSettings)} & {
        field.name for field in attrs.fields(FollowerSettings)
    }
    assert both == {*told, "paths", "engine"}
    assert {name: getattr(master, name) for name in both} == {name: getattr(settings, name) for name in both}


def test_only_a_whole_database_is_promoted(tmp_path: Path) -> None:
    refused = Follower(None, "a follower", settings_in(tmp_path, engine="counting")).promote()
    failure: list[Any] = []
    refused.addErrback(failure.append)
    assert failure[0].check(PromotionRefused)
    assert "counting is not a whole database" in failure[0].getErrorMessage()

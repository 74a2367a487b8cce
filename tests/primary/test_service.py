"""A primary as a service: opened when it starts, closed when it stops, again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl import DatabasePaths, Primary
from spgrepl.errors import ServiceStopped
from spgrepl.primary.service import PrimaryService
from spgrepl.testing.stepping import StepReactor


def test_it_opens_closes_and_opens_again(tmp_path: Path) -> None:
    reactor = StepReactor()
    service = PrimaryService(Primary(reactor, DatabasePaths.of(tmp_path / "main.db")))
    for number in range(2):
        service.startService()
        reactor.wait(service.when_ready())
        reactor.wait(service.primary.execute(f"CREATE TABLE t{number} (a)"))
        reactor.wait(service.stopService())
        with pytest.raises(ServiceStopped):
            reactor.wait(service.primary.execute("SELECT 1"))


def test_what_was_asked_for_is_carried_out_before_it_closes(tmp_path: Path) -> None:
    reactor = StepReactor()
    service = PrimaryService(Primary(reactor, DatabasePaths.of(tmp_path / "main.db")))
    service.startService()
    reactor.wait(service.when_ready())
    asked = service.primary.execute("CREATE TABLE t (a)")
    reactor.wait(service.stopService())
    assert reactor.wait(asked) > 0


def test_it_fails_with_what_keeps_it_from_opening(tmp_path: Path) -> None:
    reactor = StepReactor()
    database = tmp_path / "main.db"
    database.write_bytes(b"Dear diary,\n" * 100)
    service = PrimaryService(Primary(reactor, DatabasePaths.of(database)))
    service.startService()
    with pytest.raises(Exception, match=r"main\.db") as failed:
        reactor.wait(service.when_ready())
    assert not isinstance(failed.value, ServiceStopped)
    reactor.wait(service.stopService())

"""Those who are told when publications or subscriptions may have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.primary.parts.catalogue_listeners import CatalogueListeners
from spgrepl.primary.parts.requests import Request
from tests.conftest import LoggedFailures

ROW, PUBLISH = "INSERT INTO t VALUES (1)", "CREATE PUBLICATION p FOR ALL TABLES"


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ([], 0),
        ([Request((ROW,))], 0),
        ([Request((ROW,)), Request((ROW, PUBLISH), transaction=True)], 1),
        ([Request((PUBLISH,)), Request((PUBLISH,))], 1),
    ],
)
def test_they_are_told_once_for_a_group(requests: list[Request], told: int) -> None:
    listeners, calls = CatalogueListeners(Path("main.db")), list[None]()
    listeners.add(lambda: calls.append(None))
    listeners.answered(requests)
    assert len(calls) == told


def test_one_that_fails_keeps_nobody_from_anything(logged_failures: LoggedFailures) -> None:
    listeners, calls = CatalogueListeners(Path("main.db")), list[str]()

    def once() -> None:
        calls.append("once")
        listeners.remove(once)
        listeners.remove(once)

    listeners.add(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    listeners.add(once)
    listeners.add(lambda: calls.append("always"))
    listeners.tell()
    listeners.tell()
    assert calls == ["once", "always", "always"]
    assert len(logged_failures.flush(ZeroDivisionError)) == 2

"""The rows of a subscription, as requests to the primary that they are written through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface.verify import verifyObject

from spgrepl.errors import (
    ConfigurationError,
    EngineFailed,
    LoggedNotApplied,
    StatementFailed,
    StatementRefused,
)
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.log.format.records import RecordType
from spgrepl.primary.parts.requests import Request
from spgrepl.primary.running import subscription_target
from spgrepl.primary.running.subscription_target import PrimaryTarget

BEGUN, MOVED = SubscriptionState(("p",), 0, 0), SubscriptionState(("p",), 0, 50)
ROW = b"INSERT INTO t(a)VALUES(1)"


class AskedPrimary:
    """What a primary is asked, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.refuse: Callable[[Request], Exception | None] = lambda _: None

    def run(self, request: Request) -> Deferred[Any]:
        self.asked.append(request)
        refusal = self.refuse(request)
        return succeed(None) if refusal is None else fail(refusal)


@pytest.fixture
def primary() -> AskedPrimary:
    return AskedPrimary()


@pytest.fixture
def target(primary: AskedPrimary, monkeypatch: pytest.MonkeyPatch) -> PrimaryTarget:
    """In its thread a target waits for the reactor's; here both are this one."""

    def blocking(_reactor: object, function: Any, *arguments: Any) -> Any:
        results: list[Any] = []
        failures: list[Any] = []
        maybeDeferred(function, *arguments).addCallbacks(results.append, failures.append)
        if failures:
            failures[0].raiseException()
        return results[0]

    monkeypatch.setattr(subscription_target, "blockingCallFromThread", blocking)
    made = PrimaryTarget(
        object(), "s", lambda name: succeed(BEGUN if name == "s" else None), primary.run, lambda: 7
    )
    assert made.open() == BEGUN
    made.begin()
    return made


def test_it_is_a_target(target: PrimaryTarget) -> None:
    verifyObject(ITarget, target)


def test_a_batch_is_one_request_with_where_it_came_from(target: PrimaryTarget, primary: AskedPrimary) -> None:
    target.execute([ROW, ROW + b" /* origin 0000000000000abc */", b"CREATE TABLE u (a)"], {}, rows=True)
    target.commit(MOVED)
    (request,) = primary.asked
    assert request.mark is not None
    assert (request.mark.known, request.mark.state) == (BEGUN, MOVED)
    assert request.mark.origins == (7, 0xABC, 7)
    assert [row is None for row in request.mark.rows] == [False, False, True]
    assert request.statements[2] == "CREATE TABLE u (a)"
    assert target.statistics()["statements"] == 3


def test_a_record_of_several_statements_is_named_by_the_record(
    target: PrimaryTarget, primary: AskedPrimary
) -> None:
    target.execute(
        [b"BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT", b"DELETE FROM nowhere"], {}
    )
    primary.refuse = lambda request: StatementFailed("no such table", request.statements[2], 3)
    with pytest.raises(StatementRefused) as caught:
        target.commit(MOVED)
    assert (caught.value.index, caught.value.sql) == (1, b"DELETE FROM nowhere")
    assert primary.asked[0].statements[:2] == ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")


def test_what_sqlite_refuses_is_tried_in_its_own_words(target: PrimaryTarget, primary: AskedPrimary) -> None:
    target.execute([b"INSERT INTO t VALUES ('5'::int)"], {})

    def refuse(request: Request) -> Exception | None:
        return StatementFailed("syntax error", request.statements[0]) if "::" in request.statements[0] else None

    primary.refuse = refuse
    target.commit(MOVED)
    assert len(primary.asked) == 2
    assert "CAST('5' AS INTEGER)" in primary.asked[1].statements[0]


def test_a_row_is_never_translated(target: PrimaryTarget, primary: AskedPrimary) -> None:
    target.execute([ROW], {}, rows=True)
    primary.refuse = lambda request: StatementFailed("is there", request.statements[0], 1, "insert_exists")
    for _ in range(2):
        with pytest.raises(StatementRefused, match="is there") as caught:
            target.commit(MOVED)
        assert caught.value.conflict == "insert_exists"
    assert len(primary.asked) == 2
    assert target.statistics()["conflicts"] == {"insert_exists": 1}


@pytest.mark.parametrize("sql", [b"INSERT INTO t VALUES ('\xff')", b"\xff"])
def test_what_is_not_text_is_refused_where_it_stands(target: PrimaryTarget, sql: bytes) -> None:
    with pytest.raises(StatementRefused) as caught:
        target.execute([ROW, sql], {1: RecordType.SQL}, rows=True)
    assert caught.value.index == 1


def test_what_is_durable_and_not_applied_yet_is_asked_for_again(
    target: PrimaryTarget, primary: AskedPrimary
) -> None:
    target.execute([ROW], {}, rows=True)
    primary.refuse = lambda _: LoggedNotApplied("it is logged", 99)
    with pytest.raises(EngineFailed, match="goes on from there"):
        target.commit(MOVED)


def test_nothing_is_copied_into_a_primary(target: PrimaryTarget) -> None:
    with pytest.raises(ConfigurationError, match="cannot be copied into a primary"):
        target.check_snapshot_head(b"")
    with pytest.raises(ConfigurationError, match="cannot be copied into a primary"):
        target.copy_snapshot(Path("x"), ("p",), 0)

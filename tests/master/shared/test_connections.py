"""The connections of a master: one call for all, and a fault of one is no other's concern."""

from __future__ import annotations

from typing import Any

from spgrepl.errors import SpgReplError
from spgrepl.master.shared.connections import Connections, IConnection
from spgrepl.master.shared.end_reasons import Cause
from tests.conftest import LoggedFailures
from tests.master.shared.test_peers import peer


class Connection:
    """One that fails where it is told to, and notes how it is ended."""

    at_rest = True

    def __init__(self, address: str) -> None:
        self.address = address
        self.ends: list[tuple[Cause, SpgReplError]] = []

    def abort(self, cause: Cause, error: SpgReplError) -> None:
        self.ends.append((cause, error))

    def describe(self) -> Any:
        return peer()


def some(count: int) -> tuple[Connections, list[Any]]:
    connections = Connections()
    made = [Connection(f"10.0.0.{number}") for number in range(count)]
    for one in made:
        connections.add(one)  # type: ignore[arg-type]
    return connections, made


def test_they_are_called_in_the_order_in_which_they_came() -> None:
    connections, made = some(3)
    called: list[IConnection] = []
    connections.each(called.append)
    assert called == made
    assert (len(connections), connections.accepted, made[0] in connections) == (3, 3, True)


def test_who_leaves_while_all_are_called_disturbs_nobody() -> None:
    connections, made = some(3)
    called: list[IConnection] = []

    def call(one: IConnection) -> None:
        called.append(one)
        connections.remove(made[1])

    connections.each(call)
    assert called == made
    assert len(connections) == 2


def test_a_fault_ends_one_connection(logged_failures: LoggedFailures) -> None:
    connections, made = some(3)

    def call(one: IConnection) -> None:
        if one is made[1]:
            raise ZeroDivisionError("a bug")

    connections.each(call)
    assert [len(one.ends) for one in made] == [0, 1, 0]
    cause, error = made[1].ends[0]
    assert cause is Cause.FAULT
    assert "a bug" in str(error)
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_whoever_waits_for_the_last_to_go_is_told_once() -> None:
    connections, made = some(2)
    told: list[None] = []
    connections.all_gone().addCallback(told.append)
    connections.remove(made[0])
    connections.remove(made[0])
    assert told == []
    connections.remove(made[1])
    assert told == [None]
    connections.all_gone().addCallback(told.append)
    assert told == [None, None]
    assert connections.accepted == 2

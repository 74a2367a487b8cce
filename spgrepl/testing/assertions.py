"""What tests of replication assert."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from spgrepl.errors import SpgReplError
from spgrepl.server.role import Role
from spgrepl.sqlite.comparison import compare_databases
from spgrepl.testing.stepping import NotInTime, StepReactor


def assert_equal_databases(first: Path, second: Path, tables: Collection[str] | None = None) -> None:
    """See that two databases hold the same tables with the same rows; see `spgrepl compare`.

    Args:
        first: A database.
        second: The other one.
        tables: The tables to compare; None for all.

    Raises:
        AssertionError: They differ; the message names each difference by table and row.
    """
    found = compare_databases(first, second, tables)
    if not found.equal:
        raise AssertionError(f"{first} and {second} differ:\n" + "\n".join(found.differences))


def assert_applied(reactor: StepReactor, replica: Role, position: int, seconds: float = 60.0) -> None:
    """See that a node comes to hold everything up to a position.

    Args:
        reactor: The reactor of the test.
        replica: A follower, a subscriber or a master.
        position: A position in the log that it applies.
        seconds: How long that may take, on the reactor's clock.

    Raises:
        AssertionError: It does not in time; the message has the node's status.
    """
    try:
        reactor.wait(replica.when_applied(position), seconds)
    except (NotInTime, SpgReplError) as error:
        status = replica.status()
        shown = {name: status.get(name) for name in ("role", "state", "positions", "lag", "error")}
        raise AssertionError(f"position {position} was not applied: {error}; its status is {shown}") from error

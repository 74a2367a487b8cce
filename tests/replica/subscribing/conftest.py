"""A master with two rows, for the tests of a subscription."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spgrepl.watch.status import to_json
from tests.replica.subscribing.kit import Rig, running
from tests.replica.subscribing.streams import insert

HEAD = insert(0, "x")


TABLE = "CREATE TABLE t (a INTEGER PRIMARY KEY)"


ROWS = ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A master with two rows, and a log that goes on after them."""
    with running(tmp_path, tables=(TABLE, *ROWS), log=HEAD) as made:
        yield made


def ended(rig: Rig) -> Any:
    """What the last service ended with."""
    return getattr(rig.ended[-1], "value", rig.ended[-1])


def versions(rig: Rig) -> list[object]:
    """What was asked for, connection by connection."""
    return [to_json(one.peer.protocol.describe())["version"] for one in rig.wire.connections]

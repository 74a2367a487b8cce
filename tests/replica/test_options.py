"""What users say about the most that a copy takes from its master."""

from __future__ import annotations

from typing import Any

import pytest

from spgrepl.disk.limits import ReplicaLimits
from spgrepl.errors import UsageError
from spgrepl.replica.options import REPLICA_OPTIONS, read_replica_limits


def given(**values: Any) -> dict[str, Any]:
    names = [str(option[0]) for option in REPLICA_OPTIONS]
    return {name: values.get(name.replace("-", "_")) for name in names}


def test_what_is_not_said_is_the_default() -> None:
    assert read_replica_limits(given()) == ReplicaLimits()


def test_each_option_is_one_limit() -> None:
    found = read_replica_limits(
        given(
            max_snapshot_bytes="10G",
            min_free_bytes="1M",
            max_open_segment_bytes="2K",
            max_statement_seconds="7",
        )
    )
    assert (found.snapshot_bytes, found.free_bytes) == (10 * 1024**3, 1024**2)
    assert (found.open_segment_bytes, found.statement_seconds) == (2048, 7)


@pytest.mark.parametrize("option", [str(option[0]) for option in REPLICA_OPTIONS])
def test_an_error_names_its_option(option: str) -> None:
    with pytest.raises(UsageError, match=f"^--{option}: "):
        read_replica_limits({**given(), option: "much"})


def test_the_help_states_the_defaults() -> None:
    told = {str(option[0]): str(option[3]).rpartition("[default: ")[2].rstrip("].") for option in REPLICA_OPTIONS}
    assert read_replica_limits(told) == ReplicaLimits()

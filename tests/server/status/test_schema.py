"""Every status that a role shows is as the schema in docs/ says, and what that says is explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from jsonschema import Draft202012Validator

from spgrepl.testing import Cluster
from spgrepl.watch.status import (
    Applied,
    AwayPeer,
    ConnectedPeer,
    Errors,
    FollowerStatus,
    Lag,
    MasterStatus,
    Positions,
    Serving,
    SubscriberStatus,
    Upstream,
    to_json,
)
from spgrepl.watch.troubles import Trouble
from tests.server.status.schema import SCHEMA, check_status

OPERATING = (Path(__file__).parents[3] / "docs" / "operating.md").read_text("utf-8")


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("engine", ["sqlite", "archive", "counting"])
def test_roles_in_all_states(tmp_path: Path, engine: str) -> None:
    with Cluster(tmp_path) as cluster:
        primary = cluster.primary()
        primary.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        primary.execute("CREATE PUBLICATION p FOR TABLE t")
        roles: list[Any] = [primary.master, cluster.follower(engine=engine), cluster.subscriber("p")]
        seen = set()
        for number in range(40):
            for role in roles:
                status = role.status()
                check_status(status)
                seen.add((status["role"], status["state"]))
            if number == 20:
                primary.execute("INSERT INTO t VALUES (7)")
            if number == 30:
                cluster.network.unreachable.add("primary")
                cluster.network.cut()
            cluster.pass_time(0.02 if number < 30 else 1.0)
        for role in reversed(roles):
            cluster.wait(role.stopService())
            check_status(role.status())
        assert {("master", "serving"), ("follower", "streaming"), ("follower", "waiting")} <= seen
        assert {("subscriber", "streaming"), ("subscriber", "waiting")} <= seen


def fields(kind: type) -> set[str]:
    """The names of a value's fields as JSON shows them, of those within it that stand among its own, too."""
    found = set()
    for field in attrs.fields(attrs.resolve_types(kind)):
        inner = [one for one in (get_args(field.type) or (field.type,)) if attrs.has(one)]
        found |= set().union(*map(fields, inner)) if field.metadata else {field.name}
    return found


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (MasterStatus, "master"),
        (FollowerStatus, "follower"),
        (SubscriberStatus, "subscriber"),
        (ConnectedPeer, "peer"),
        (AwayPeer, "peer"),
        (Positions, "positions"),
        (Lag, "lag"),
        (Upstream, "upstream"),
        (Errors, "errors"),
        (Trouble, "trouble"),
    ],
)
def test_what_is_told_has_the_fields_of_the_schema(kind: type, place: str) -> None:
    schema = SCHEMA["$defs"][place]
    told = {name for name in fields(kind) if name != "more"}
    unknown = told - set(schema["properties"]) - (fields(Serving) if kind is SubscriberStatus else set())
    assert unknown == set(), "put these into docs/status.schema.json"
    assert set(schema["required"]) - told <= {"problems"}, "nothing tells these"


def test_what_an_engine_adds_replaces_nothing() -> None:
    told = Applied.of({"statements": 3, "rows": {"t": 1}})
    assert to_json(told) == {"statements": 3, "digest": None, "rows": {"t": 1}}
    assert to_json(Applied.of({"statements": 3, "digest": "00", "more": 1}))["more"] == 1


def test_a_field_that_is_not_in_it_fails(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        status = cluster.primary().master.status()
        with pytest.raises(AssertionError, match="surprise"):
            check_status({**status, "surprise": 1})
        with pytest.raises(AssertionError, match="positions"):
            check_status({**status, "positions": {}})


def test_every_field_is_explained() -> None:
    roles = [SCHEMA["$defs"][role]["properties"] for role in ("master", "follower", "subscriber")]
    lines = OPERATING[OPERATING.index("## Status") :].splitlines()
    explained = set(re.findall(r"[`.](\w+)[`.]", "\n".join(line for line in lines if line.startswith("|"))))
    assert set().union(*roles) - explained == set(), "explain these in docs/operating.md, Status"

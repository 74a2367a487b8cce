"""Positions along a chain: primary, relay, follower and subscribers, on sockets; and those of another database."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import apsw
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import DifferentHistory, WaitTimeout
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.primary import Position
from spgrepl.replica.following.states import OnDivergence
from spgrepl.server.roles import MasterRole, MasterSettings
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain"]


@pytest_twisted.ensureDeferred
async def test_a_primary_names_its_history(chain: Chain) -> None:
    primary = await with_rows(chain)
    position = await primary.execute(ROW)
    id_ = json.loads(chain.paths("head").pair.read_bytes())["id"]
    assert position.history == id_ == primary.histories.current
    assert str(position) == f"{int(position)}@{id_}"
    assert (await primary.execute("SHOW PUBLICATIONS")).history == id_
    async with primary.transaction() as block:
        await block.execute(ROW)
    assert block.position is not None
    assert block.position.history == id_
    await primary.close()
    await primary.open()
    assert (await primary.execute(ROW)).history == id_


@pytest_twisted.ensureDeferred
async def test_positions_are_translated_along_a_chain(chain: Chain) -> None:
    """Each log of the chain counts from its own base, and all take the primary's positions."""
    primary = await with_rows(chain)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    leaf = await chain.follower("leaf", "relay")
    await grown(primary, leaf)
    last = await chain.follower("last", "leaf")

    position = await primary.execute(ROW)
    for role in (relay, leaf, last):
        applied = await role.when_applied(position, 30)
        assert (applied, applied.history) == (position, position.history)  # type: ignore[attr-defined]
        assert role.status()["history"] == position.history
    own = [role.status()["positions"]["applied"] for role in (relay, leaf, last)]
    assert own[0] == position > own[1] > own[2] > 0
    # A number alone counts as the role's own do.
    assert type(await last.when_applied(own[2], 30)) is int
    with pytest.raises(WaitTimeout):
        await last.when_applied(int(position), 0.05)

    waiting = last.when_applied(Position(position + 1, history=position.history), 30)
    behind = await primary.execute(ROW)
    assert await waiting == behind
    await chain.stop(last)
    again = await chain.follower("last", "leaf")
    assert await again.when_applied(behind, 30) == behind


@pytest_twisted.ensureDeferred
async def test_a_position_of_another_database_fails_at_once_by_name(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    primary = await with_rows(chain)
    other = await with_rows(chain, "other", rows=0)
    position = await other.execute(ROW)
    master = await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    leaf = await chain.follower("leaf", "relay")
    await grown(primary, leaf)
    subscriber = await chain.subscriber("some", "head")
    await grown(primary, subscriber)
    assert position < primary.position
    for role, name in ((master, "head"), (relay, "relay"), (leaf, "leaf"), (subscriber, "some")):
        with pytest.raises(DifferentHistory, match=f"is of history {position.history}, and .* holds history"):
            await role.when_applied(position)
        code, answer = await chain.http(name, f"/wait?token={position}")
        assert code == 409
        assert f"position {int(position)} is of history {position.history}" in answer["error"]
        assert await chain.command("wait", "--http", chain.at(f"{name}.http"), str(position)) == 76
        assert position.history in capsys.readouterr().err
    for statement in (f"WAIT FOR WAL POSITION {position}", f"WAIT FOR WAL POSITION '{position}'"):
        with pytest.raises(DifferentHistory):
            await primary.query(statement)
    database = str(chain.paths("leaf").database)
    assert await chain.command("exec", "--db", database, f"WAIT FOR WAL POSITION {position}") != 0
    assert "is of history" in capsys.readouterr().err


@pytest_twisted.ensureDeferred
async def test_the_site_and_the_command_take_tokens(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    leaf = await chain.follower("leaf", "relay")
    position = await primary.execute(ROW)
    await leaf.when_applied(position, 30)
    for name in ("head", "relay", "leaf"):
        for argument in (f"token={position}", f"position={position}"):
            assert await chain.http(name, f"/wait?{argument}&timeout=30") == (200, {"applied": int(position)})
        assert await chain.command("wait", "--http", chain.at(f"{name}.http"), str(position)) == 0
        assert capsys.readouterr().out == f"{int(position)}\n"
        database = str(chain.paths(name).database)
        assert await chain.command("exec", "--db", database, f"WAIT FOR WAL POSITION {position}") == 0
        assert capsys.readouterr().out == "1\n"
        code, status = await chain.http(name, "/status")
        assert (code, status["history"]) == (200, position.history)
    assert (await primary.query(f"WAIT FOR WAL POSITION {position}")).rows == [(1,)]


@pytest.mark.parametrize("engine", ["archive", "counting"])
@pytest_twisted.ensureDeferred
async def test_engines_without_rows_know_whose_positions_they_count(chain: Chain, engine: str) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    kept = await chain.follower("kept", "relay", engine=engine)
    position = await grown(primary, kept)
    assert await kept.when_applied(position, 30) == position
    with pytest.raises(DifferentHistory):
        await kept.when_applied(Position(1, history="0" * 32))
    await chain.stop(kept)
    kept = await chain.follower("kept", "relay", engine=engine)
    assert await kept.when_applied(position, 30) == position
    with pytest.raises(DifferentHistory):
        await kept.when_applied(Position(1, history="0" * 32))
    if engine == "archive":
        leaf = await chain.follower("leaf", "kept")
        position = await primary.execute(ROW)
        assert await leaf.when_applied(position, 30) == position
        assert leaf.status()["positions"]["applied"] < kept.status()["positions"]["applied"] < position


@pytest_twisted.ensureDeferred
async def test_a_subscriber_of_a_relay_takes_the_primarys_positions(chain: Chain) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head", wal_level=WalLevel(Level.LOGICAL))
    await grown(primary, relay)
    subscriber = await chain.subscriber("some", "relay")
    position = await primary.execute(ROW)
    assert await subscriber.when_applied(position, 30) == position
    assert subscriber.status()["positions"]["applied"] < position
    assert subscriber.status()["history"] == position.history
    await chain.stop(subscriber)
    subscriber = await chain.subscriber("some", "relay")
    assert await subscriber.when_applied(position, 30) == position


@pytest_twisted.ensureDeferred
async def test_a_wait_begun_before_there_is_a_copy_is_judged_when_there_is_one(chain: Chain) -> None:
    primary, other = await with_rows(chain), await with_rows(chain, "other")
    theirs, ours = await other.execute(ROW), await primary.execute(ROW)
    follower = await chain.follower("copy", "head")
    refused, answered = follower.when_applied(theirs, 30), follower.when_applied(ours, 30)
    assert not refused.called
    await chain.master("head", primary)
    assert await answered == ours
    with pytest.raises(DifferentHistory):
        await refused


@pytest_twisted.ensureDeferred
async def test_a_fresh_copy_of_another_database_ends_waits_for_the_one_before(chain: Chain) -> None:
    """A follower that takes a fresh snapshot goes over to a different history, and says so to those who wait."""
    primary = await with_rows(chain)
    master = await chain.master("head", primary)
    follower = await chain.follower("copy", "head", on_divergence=OnDivergence.RESNAPSHOT)
    position = await primary.execute(ROW)
    await follower.when_applied(position, 30)
    waiting = follower.when_applied(Position(position + 1_000_000, history=position.history), 60)
    await chain.stop(master)
    await primary.close()
    other = await chain.primary("other")
    await other.execute("CREATE TABLE quite_different (a INTEGER PRIMARY KEY)")
    settings = MasterSettings(chain.paths("other"), chain.server("head"))
    await chain.started(MasterRole(chain.reactor, settings, other))
    with pytest.raises(DifferentHistory, match=f"is of history {position.history}"):
        await waiting
    assert await follower.when_applied(await other.execute("INSERT INTO quite_different VALUES (1)"), 30) > 0
    with pytest.raises(DifferentHistory):
        await follower.when_applied(position)


def run_sql(database: Path, sql: str) -> None:
    with contextlib.closing(apsw.Connection(str(database))) as connection:
        connection.execute(sql)


def _nothing_known(paths: DatabasePaths) -> None:
    with contextlib.closing(apsw.Connection(str(paths.database))) as connection:
        connection.execute("ALTER TABLE spgrepl_replay DROP COLUMN histories")


@pytest_twisted.ensureDeferred
async def test_a_copy_of_an_earlier_version_takes_positions_as_numbers(chain: Chain) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    follower = await chain.follower("copy", "head")
    await grown(primary, follower)
    await chain.stop(follower)
    await deferToThread(_nothing_known, chain.paths("copy"))
    follower = await chain.follower("copy", "head")
    position = await primary.execute(ROW)
    assert await follower.when_applied(position, 30) >= position
    assert follower.status()["history"] is None


@pytest_twisted.ensureDeferred
async def test_a_master_without_its_primary_knows_the_history_too(chain: Chain) -> None:
    primary = await with_rows(chain)
    position = await primary.execute(ROW)
    await primary.close()
    master = await chain.master("head")
    assert await master.when_applied(position, 30) == position
    with pytest.raises(DifferentHistory):
        await master.when_applied(Position(1, history="0" * 32))


@pytest_twisted.ensureDeferred
async def test_a_subscription_without_a_copy_is_told_whose_positions_its_masters_are(chain: Chain) -> None:
    primary, other = await with_rows(chain), await with_rows(chain, "other")
    await chain.master("head", primary)
    target = chain.paths("some").database
    await deferToThread(run_sql, target, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    subscriber = await chain.subscriber("some", "head", copy_data=False)
    while subscriber.status()["history"] is None:
        await chain.pause()
    position = await primary.execute(ROW)
    assert await subscriber.when_applied(position, 30) == position
    theirs = await other.execute(ROW)
    with pytest.raises(DifferentHistory):
        await subscriber.when_applied(theirs)
    await chain.stop(subscriber)
    subscriber = await chain.subscriber("some", "head", copy_data=False)
    with pytest.raises(DifferentHistory):
        await subscriber.when_applied(theirs)
    assert await subscriber.when_applied(position, 30) == position

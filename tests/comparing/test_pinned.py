"""Comparing a primary with its copies at one position, while they are written; and putting a copy right."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread

from spgrepl.cli import main
from spgrepl.comparing import table_reader
from spgrepl.comparing.ends import SqliteEnd
from spgrepl.comparing.pinned import compare_pinned
from spgrepl.comparing.repairing import RepairFile
from spgrepl.errors import ConfigurationError, DifferentHistory, UsageError, WaitTimeout
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain"]


def change(database: Path, *statements: str) -> None:
    """Write a copy behind its follower's back."""
    with contextlib.closing(apsw.Connection(str(database))) as connection:
        connection.set_busy_timeout(10_000)
        for statement in statements:
            connection.execute(statement)


@pytest_twisted.ensureDeferred
async def test_both_ends_are_compared_at_one_position_while_they_are_written(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 7)
    primary = await with_rows(chain, rows=30)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    leaf = await chain.follower("leaf", "relay")
    await grown(primary, leaf)
    going_on = [True]

    @inlineCallbacks
    def write() -> Any:
        while going_on:
            yield primary.execute(ROW)

    writing: Deferred[Any] = write()
    names = ("head", "relay", "leaf")
    databases = [chain.paths(name).database for name in names]
    last = 0
    for first, second in ((0, 1), (0, 2), (1, 2), (2, 0), (2, 1)):
        found = await deferToThread(compare_pinned, databases[first], databases[second])
        assert found.equal, found
        assert found.rows > 30
        assert found.position.history == primary.histories.current
        assert found.position >= last
        last = int(found.position)
    going_on.clear()
    await writing
    assert primary.position > last


@pytest_twisted.ensureDeferred
async def test_rows_that_differ_are_named_and_put_right(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    primary = await with_rows(chain, rows=30)
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    await grown(primary, copy)
    head, other = chain.paths("head").database, chain.paths("copy").database
    statements = (
        "DELETE FROM t WHERE a = 3",
        "UPDATE t SET b = 'it''s' WHERE a = 4",
        "INSERT INTO t VALUES (77, NULL)",
    )
    await deferToThread(change, other, *statements)
    file = tmp_path / "repair.sql"
    words = ("compare", "--pinned", "--repair", str(file), str(head), str(other))
    assert await chain.command(*words) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "table t, row a=3: missing in the second",
        "table t, row a=4: differs in b",
        "table t, row a=77: in the second only",
    ]
    assert said[3].startswith(f"at position {primary.position}@{primary.histories.current}; writers were kept")
    assert said[4:] == ["3 rows differ, 30 are equal", f"4 statements are in {file}"]
    await deferToThread(change, other, *file.read_text().split(";\n")[:-1])
    assert await chain.command("compare", "--pinned", str(head), str(other)) == 0
    assert await chain.command(*words) == 64
    assert "is there already" in capsys.readouterr().err


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_pinned(chain: Chain, tmp_path: Path) -> None:
    primary, other = await with_rows(chain), await with_rows(chain, "other")
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    await grown(primary, copy)
    await chain.stop(copy)
    await primary.execute(ROW)
    paths = [chain.paths(name).database for name in ("head", "copy", "other")]
    with pytest.raises(WaitTimeout, match="did not come to"):
        await deferToThread(partial(compare_pinned, paths[0], paths[1], seconds=0.1))
    # Nobody is kept waiting any more.
    await primary.execute(ROW)
    with pytest.raises(DifferentHistory, match="share no history"):
        await deferToThread(compare_pinned, paths[0], paths[2])
    await deferToThread(change, tmp_path / "plain.db", "CREATE TABLE t (a)")
    with pytest.raises(ConfigurationError, match="not the database of a primary, a follower or a subscriber"):
        await deferToThread(compare_pinned, paths[0], tmp_path / "plain.db")
    await other.close()


def test_repairing_needs_pinning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--repair", "x", "a", "b"]) == 64
    assert main(["compare", "--subscription", "x", "a", "b"]) == 64
    assert "--subscription needs --pinned" in capsys.readouterr().err
    assert main(["compare", "--hold", "3", "a", "b"]) == 64
    assert "--hold needs --pinned" in capsys.readouterr().err


def test_a_repair_that_was_not_finished_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RepairFile(tmp_path / "x"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x").write_text("somebody's")
    with pytest.raises(UsageError, match="is there already"):
        RepairFile(tmp_path / "x")


def test_a_database_that_is_held_takes_no_writes_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    change(path, "CREATE TABLE t (a)")
    with contextlib.closing(SqliteEnd(path)) as end, contextlib.closing(apsw.Connection(str(path))) as other:
        with end.holding(), pytest.raises(apsw.BusyError):
            other.execute("INSERT INTO t VALUES (1)")
        other.execute("INSERT INTO t VALUES (1)")

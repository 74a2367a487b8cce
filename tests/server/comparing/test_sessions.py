"""Databases of running servers, compared at one position over their sockets while they are written."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import clientFromString
from twisted.internet.threads import deferToThread

from spgrepl.comparing import table_reader
from spgrepl.comparing.ends import SqliteEnd
from spgrepl.errors import UsageError
from spgrepl.rows.values import RawText
from spgrepl.server.comparing import sessions, values
from spgrepl.server.comparing.sessions import Comparisons
from spgrepl.server.roles import FollowerRole, FollowerSettings
from tests.comparing.test_pinned import change
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain"]


def at(chain: Chain, name: str) -> str:
    return f"unix:{chain.paths(name).control_socket}"


@pytest.mark.parametrize(
    "value",
    [
        0,
        -(2**63),
        2**63 - 1,
        1.0,
        -0.0,
        0.1,
        float("inf"),
        -1e-320,
        "",
        "it's \0 ü",
        b"",
        b"\x00\xff",
        None,
        RawText(b"\xff"),
    ],
)
def test_a_value_comes_as_it_was(value: Any) -> None:
    found = values.row_from_json(json.loads(json.dumps(values.row_to_json((value,)))))
    assert repr(found) == repr((value,))


@pytest_twisted.ensureDeferred
async def test_two_servers_are_compared_at_one_position_while_they_are_written(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 7)
    monkeypatch.setattr(values, "MOST_ROWS", 3)
    primary = await with_rows(chain, rows=30)
    await primary.execute("CREATE TABLE v (k TEXT PRIMARY KEY, r REAL, b BLOB)")
    await primary.execute("INSERT INTO v VALUES ('it''s', 0.1, x'00ff'), (CAST(x'fffe' AS TEXT), -0.0, NULL)")
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    await grown(primary, copy)
    going_on = [True]

    @inlineCallbacks
    def write() -> Any:
        while going_on:
            yield primary.execute(ROW)

    writing: Deferred[Any] = write()
    head, other = at(chain, "head"), at(chain, "copy")
    for words in ((head, other), (other, head), (str(chain.paths("head").database), other)):
        assert await chain.command("compare", "--pinned", *words) == 0
        assert "equal: 2 tables, " in capsys.readouterr().out
    going_on.clear()
    await writing


@pytest_twisted.ensureDeferred
async def test_rows_that_differ_are_named_and_put_right(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "MOST_ROWS", 3)
    primary = await with_rows(chain, rows=30)
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    await grown(primary, copy)
    spoiled = chain.paths("copy").database
    statements = (
        "DELETE FROM t WHERE a = 3",
        "UPDATE t SET b = 'it''s' WHERE a = 4",
        "INSERT INTO t VALUES (77, x'00')",
    )
    await deferToThread(change, spoiled, *statements)
    file = tmp_path / "repair.sql"
    words = ("compare", "--pinned", "--repair", str(file), at(chain, "head"), at(chain, "copy"))
    assert await chain.command(*words) == 1
    assert capsys.readouterr().out.splitlines()[:3] == [
        "table t, row a=3: missing in the second",
        "table t, row a=4: differs in b",
        "table t, row a=77: in the second only",
    ]
    await deferToThread(change, spoiled, *file.read_text("utf-8").split(";\n")[:-1])
    beside = os.path.relpath(chain.paths("copy").control_socket)
    assert await chain.command("compare", "--pinned", at(chain, "head"), f"unix:{beside}") == 0


@pytest_twisted.ensureDeferred
async def test_what_is_not_compared(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    head = at(chain, "head")
    assert await chain.command("compare", head, head) == 0
    counting = FollowerSettings(
        chain.paths("counts"),
        clientFromString(chain.reactor, chain.at("head")),
        engine="counting",
        http=chain.server("counts.http"),
    )
    await chain.started(FollowerRole(chain.reactor, counting))
    assert await chain.command("compare", "--pinned", head, chain.at("counts.http")) == 64
    assert "has no database that can be compared" in capsys.readouterr().err
    assert await chain.command("compare", "--pinned", head, f"unix:{chain.folder}/nobody") == 69


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    connection.close()
    return path


@pytest_twisted.ensureDeferred
async def test_who_lets_go_without_a_word_holds_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one for longer than it said; and there is room for the next."""
    from twisted.internet import reactor

    monkeypatch.setattr(sessions, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 1)
    comparisons = Comparisons(reactor, partial(SqliteEnd, database), database)
    opened = await comparisons.run('{"do": "open"}')
    with pytest.raises(UsageError, match="1 comparisons are under way"):
        await comparisons.run('{"do": "open"}')
    await comparisons.run(json.dumps({"do": "hold", "seconds": 60, **opened}))
    # The lock is waited for: it is free as soon as the comparison is over.
    await deferToThread(change, database, "INSERT INTO t VALUES (1)")
    with pytest.raises(UsageError, match="this comparison is over"):
        await comparisons.run(json.dumps({"do": "look", **opened}))
    again = await comparisons.run('{"do": "open"}')
    await comparisons.run(json.dumps({"do": "hold", "seconds": 0.05, **again}))
    await deferToThread(change, database, "INSERT INTO t VALUES (2)")
    await comparisons.run(json.dumps({"do": "close", **again}))
    comparisons.close()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "order", ["", "[]", "{}", '{"do": "nothing"}', '{"do": "sums"}', '{"do": "rows", "table": 1}']
)
async def test_what_is_no_order_is_refused(order: str, database: Path) -> None:
    from twisted.internet import reactor

    comparisons = Comparisons(reactor, partial(SqliteEnd, database), database)
    opened = await comparisons.run('{"do": "open"}')
    text = order.replace("{", json.dumps(opened)[:-1] + ", ", 1) if '"do"' in order else order
    with pytest.raises(UsageError):
        await comparisons.run(text)
    comparisons.close()


@pytest_twisted.ensureDeferred
async def test_a_subscription_is_compared_in_its_file_and_where_it_runs(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    primary = await with_rows(chain, rows=10)
    await chain.master("head", primary)
    copy = await chain.subscriber("copy", "head")
    await grown(primary, copy)
    head, path = at(chain, "head"), chain.paths("copy").database
    for other in (str(path), f"unix:{chain.folder}/copy.http"):
        assert await chain.command("compare", "--pinned", head, other) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "equal: 1 table, 12 rows"
    await deferToThread(change, path, "DELETE FROM t WHERE a = 2")
    assert await chain.command("compare", "--pinned", "--subscription", "copy", head, str(path)) == 1
    assert capsys.readouterr().out.splitlines()[0] == "table t, row a=2: missing in the second"
    assert await chain.command("compare", "--pinned", "--subscription", "other", head, str(path)) == 78
    assert "has no subscription other: it has copy" in capsys.readouterr().err

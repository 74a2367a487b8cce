"""``spgrepl compare`` between any two: a file, a running server, PostgreSQL, a running server with PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import clientFromString
from twisted.internet.threads import deferToThread

from spgrepl.comparing import table_reader
from spgrepl.primary import Primary
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.comparing import values
from spgrepl.server.roles import FollowerRole, FollowerSettings
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from tests.postgresql.conftest import Database, database, postgres, shared
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain", "database", "postgres", "shared"]

TABLES = (
    "CREATE TABLE v (k TEXT PRIMARY KEY, r REAL, n NUMERIC, b BLOB, yes BOOLEAN)",
    "INSERT INTO v VALUES ('it''s', 0.1, 12, x'00ff', 1), ('\\', NULL, NULL, NULL, NULL)",
    "INSERT INTO v VALUES ('é~', -0.5, 1.5, x'', 0)",
    "CREATE TABLE pairs (a INTEGER, b BLOB, c TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "INSERT INTO pairs SELECT a % 3, CAST(a AS BLOB), 'x' || a FROM t",
    "CREATE TABLE keyless (x TEXT)",
    "INSERT INTO keyless VALUES ('one'), ('one'), ('two')",
    "CREATE TABLE rest (k TEXT, i INTEGER, PRIMARY KEY (k, i))",
    "INSERT INTO rest VALUES ('a', 1), ('a', 2), ('b', 1), ('%', 4)",
)


@attrs.frozen
class Ends:
    """A primary and its copies of all kinds, with the words that name them."""

    primary: Primary
    words: dict[str, str]


async def grown_ends(chain: Chain, database: Database) -> Ends:
    primary = await with_rows(chain, rows=30)
    for statement in TABLES:
        await primary.execute(statement)
    await chain.master("head", primary)
    second = database.server.new_database("second")
    copy = await chain.follower("copy", "head")
    source = clientFromString(chain.reactor, chain.at("head"))
    following = FollowerSettings(chain.paths("into"), source, engine=database.url, http=chain.server("into.http"))
    subscribed = SubscriberSettings(
        chain.paths("sub"), source, Subscription("sub", ("p",)), engine=second, http=chain.server("sub.http")
    )
    into = await chain.started(FollowerRole(chain.reactor, following))
    sub = await chain.started(SubscriberRole(chain.reactor, subscribed))
    for one in (copy, into, sub):
        await grown(primary, one)
    # What is spoiled later is spoiled in copies that have everything.
    for one in (copy, into):
        await one.when_applied(primary.position, 30)
    return Ends(
        primary,
        {
            "file": str(chain.paths("head").database),
            "running": chain.at("copy.http"),
            "server": database.url,
            "running, in a server": chain.at("sub.http"),
        },
    )


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 7)
    monkeypatch.setattr(values, "MOST_ROWS", 3)
    monkeypatch.setattr(values, "MOST_STOPS", 2)


@pytest_twisted.ensureDeferred
async def test_any_two_are_compared_at_one_position_while_they_are_written(
    chain: Chain, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = await grown_ends(chain, database)
    going_on = [True]

    @inlineCallbacks
    def write() -> Any:
        while going_on:
            yield ends.primary.execute(ROW)

    writing: Deferred[Any] = write()
    for first, second in permutations(ends.words, 2):
        code = await chain.command("compare", "--pinned", ends.words[first], ends.words[second])
        said = capsys.readouterr().out.splitlines()
        assert code == 0, (first, second, said)
        assert said[-1].startswith("equal: 5 tables, "), (first, second)
    going_on.clear()
    await writing


SPOIL = (
    "DELETE FROM t WHERE a = 3",
    "UPDATE t SET b = 'it''s' WHERE a = 4",
    "INSERT INTO t VALUES (77, NULL)",
    "UPDATE v SET r = 0.25, n = NULL, b = NULL WHERE k = 'it''s'",
    "UPDATE v SET n = -3 WHERE k = '\\'",
    "DELETE FROM v WHERE k = 'é~'",
    "DELETE FROM pairs WHERE c = 'x7'",
    "UPDATE pairs SET c = NULL WHERE c = 'x8'",
    "UPDATE keyless SET x = 'three' WHERE rowid = 1",
    "DELETE FROM rest WHERE k = 'a' AND i = 2",
)
SAID = [
    "table keyless, row rowid=1: differs in x",
    "table pairs, row a=1, b={seven}: missing in the second",
    "table pairs, row a=2, b={eight}: differs in c",
    "table rest, row k='a', i=2: missing in the second",
    "table t, row a=3: missing in the second",
    "table t, row a=4: differs in b",
    "table t, row a=77: in the second only",
    'table v, row k="it\'s": differs in r, n, b',
    "table v, row k='\\\\': differs in n",
    "table v, row k='é~': missing in the second",
]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("pinned", [True, False])
async def test_what_differs_between_any_two_is_named_and_put_right(
    chain: Chain, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], pinned: bool
) -> None:
    ends = await grown_ends(chain, database)
    second = Database(database.server, "second", database.server.url("second"))

    def into_sqlite(sql: str) -> None:
        with closing(sqlite3.connect(chain.paths("copy").database, isolation_level=None)) as connection:
            connection.executescript(sql)

    runs: dict[str, Callable[[str], object]] = {
        "running": into_sqlite,
        "server": database.query,
        "running, in a server": second.query,
    }
    for first, other in [pair for pair in permutations(ends.words, 2) if pair[1] in runs]:
        await deferToThread(runs[other], ";".join(SPOIL))
        file = tmp_path / "repair.sql"
        words = (ends.words[first], ends.words[other])
        if pinned:
            assert await chain.command("compare", "--pinned", "--repair", str(file), *words) == 1, (first, other)
            said = capsys.readouterr().out.splitlines()
            bytes_too = first in ("server", "running, in a server") or other != "running"
            keys = {"seven": "37", "eight": "38"} if bytes_too else {"seven": "b'7'", "eight": "b'8'"}
            expected = [line.format(**keys) for line in SAID]
            assert sorted(said[: len(SAID)]) == sorted(expected), (first, other)
            await deferToThread(runs[other], file.read_text("utf-8"))
            file.unlink()
        else:
            assert await chain.command("compare", *words) == 1, (first, other)
            said = capsys.readouterr().out.splitlines()
            assert said[-1] == f"{len(SAID)} differences"
            assert any(line.startswith("table t, row a=77: ") for line in said)
            ends_alike = await chain.command("compare", "--pinned", "--repair", str(file), *words)
            assert ends_alike == 1
            await deferToThread(runs[other], file.read_text("utf-8"))
            file.unlink()
            capsys.readouterr()
        assert await chain.command("compare", *words) == 0, (first, other, capsys.readouterr().out)
        capsys.readouterr()

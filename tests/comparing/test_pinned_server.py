"""``spgrepl compare --pinned`` with a server: one position, while a primary is written; a copy is put right."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import clientFromString
from twisted.internet.threads import deferToThread

from spgrepl.comparing import table_reader
from spgrepl.comparing.ends import SqliteEnd
from spgrepl.comparing.pinned import PinnedComparison, compare_ends
from spgrepl.comparing.server_end import ServerEnd
from spgrepl.postgresql.address import ServerAddress
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.role import Role
from spgrepl.server.roles import FollowerRole, FollowerSettings
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from tests.postgresql.conftest import Database, database, postgres, shared
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain", "database", "postgres", "shared"]


async def follower(chain: Chain, database: Database) -> Role:
    source = clientFromString(chain.reactor, chain.at("head"))
    settings = FollowerSettings(chain.paths("copy"), source, engine=database.url)
    return await chain.started(FollowerRole(chain.reactor, settings))  # type: ignore[no-any-return]


async def subscriber(chain: Chain, database: Database, name: str = "copy") -> Role:
    source = clientFromString(chain.reactor, chain.at("head"))
    settings = SubscriberSettings(chain.paths(name), source, Subscription(name, ("p",)), engine=database.url)
    return await chain.started(SubscriberRole(chain.reactor, settings))  # type: ignore[no-any-return]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", [follower, subscriber])
async def test_both_are_compared_at_one_position_while_they_are_written(
    kind: Any, chain: Chain, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 7)
    primary = await with_rows(chain, rows=30)
    await chain.master("head", primary)
    copy = await kind(chain, database)
    await grown(primary, copy)
    going_on = [True]

    @inlineCallbacks
    def write() -> Any:
        while going_on:
            yield primary.execute(ROW)

    writing: Deferred[Any] = write()
    path, address = chain.paths("head").database, ServerAddress.parse(database.url)
    last = 0

    def compared(server_first: bool) -> PinnedComparison:
        with closing(SqliteEnd(path)) as here, closing(ServerEnd(address)) as there:
            return compare_ends(there, here) if server_first else compare_ends(here, there)

    for server_first in (False, True):
        found = await deferToThread(compared, server_first)
        assert found.equal, found
        assert found.tables == 1
        assert found.rows > 30
        assert found.position.history == primary.histories.current
        assert found.position >= last
        last = int(found.position)
    going_on.clear()
    await writing
    assert primary.position > last


@pytest_twisted.ensureDeferred
async def test_rows_that_differ_are_named_and_put_right(
    chain: Chain, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    primary = await with_rows(chain, rows=30)
    await primary.execute("CREATE TABLE v (k TEXT PRIMARY KEY, r REAL, n NUMERIC, b BLOB, yes BOOLEAN)")
    await primary.execute("INSERT INTO v VALUES ('it''s', 0.1, 12, x'00ff', 1), ('\\', NULL, NULL, NULL, NULL)")
    await primary.execute("INSERT INTO v VALUES ('gone', 1e300, 1.5, x'', 0)")
    await chain.master("head", primary)
    copy = await subscriber(chain, database)
    await grown(primary, copy)
    database.query("DELETE FROM t WHERE a = 3")
    database.query("UPDATE t SET b = 'it''s' WHERE a = 4")
    database.query("INSERT INTO t VALUES (77, NULL)")
    database.query("UPDATE v SET r = 0.5, b = NULL, yes = false WHERE k = 'it''s'")
    database.query("INSERT INTO v VALUES ('more', 0.1, 2, '\\x01', true)")
    database.query("DELETE FROM v WHERE k = 'gone'")
    head, file = str(chain.paths("head").database), tmp_path / "repair.sql"
    words = ("compare", "--pinned", "--repair", str(file), head, database.url)
    assert await chain.command(*words) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[:6] == [
        "table t, row a=3: missing in the second",
        "table t, row a=4: differs in b",
        "table t, row a=77: in the second only",
        "table v, row k='gone': missing in the second",
        'table v, row k="it\'s": differs in r, b, yes',
        "table v, row k='more': in the second only",
    ]
    assert said[6].startswith(f"at position {primary.position}@{primary.histories.current}; writers were kept")
    assert said[7:] == ["6 rows differ, 31 are equal", f"6 statements are in {file}"]
    database.query(file.read_text("utf-8"))
    assert await chain.command("compare", "--pinned", head, database.url) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal: 2 tables, 35 rows"


@pytest_twisted.ensureDeferred
async def test_whose_position_counts_has_to_be_clear(
    chain: Chain, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    head = str(chain.paths("head").database)
    assert await chain.command("compare", "--pinned", head, database.url) == 78
    assert "not the database of a follower or a subscriber" in capsys.readouterr().err
    first = await subscriber(chain, database, "first")
    await grown(primary, first)
    database.query(
        "INSERT INTO spgrepl.subscriptions SELECT 'other', position, effective_start, publications, history "
        "FROM spgrepl.subscriptions"
    )
    assert await chain.command("compare", "--pinned", head, database.url) == 64
    assert "has the subscriptions first, other" in capsys.readouterr().err
    assert await chain.command("compare", "--pinned", "--subscription", "first", head, database.url) == 0
    assert await chain.command("compare", "--pinned", "--subscription", "third", head, database.url) == 78
    assert "has no subscription third: it has first, other" in capsys.readouterr().err


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", [follower, subscriber])
async def test_a_server_that_is_held_takes_no_writes_until_it_is_let_go(
    kind: Any, chain: Chain, database: Database
) -> None:
    psycopg = pytest.importorskip("psycopg")
    primary = await with_rows(chain)
    await chain.master("head", primary)
    copy = await kind(chain, database)
    await grown(primary, copy)
    table = "copies" if kind is follower else "subscriptions"
    take = f"SELECT position FROM spgrepl.{table} FOR UPDATE NOWAIT"
    end = await deferToThread(ServerEnd, ServerAddress.parse(database.url))
    try:
        with end.holding():
            with pytest.raises(psycopg.errors.LockNotAvailable):
                database.query(take)
            position = await primary.execute(ROW)
            assert end.look() < position
        await copy.when_applied(position, 30)
        assert end.look() == position
        assert database.query(take) == [(int(position),)]
    finally:
        end.close()

"""What callers have of a primary beside single statements: values, blocks, streams, functions, an end in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred

import spgrepl.primary.primary as primary_module
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ServiceStopped, StatementFailed, TransactionExpired, UsageError
from spgrepl.primary import Primary
from tests.primary.copying import logged, rows_of

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
FOREVER = f"{NUMBERS} INSERT INTO t SELECT NULL, i FROM n WHERE i < 0"


def double(value: Any) -> Any:
    """A function of an embedding program."""
    return value * 2


def set_up(connection: apsw.Connection) -> None:
    """What the embedding program registers."""
    connection.create_scalar_function("double", double)
    connection.create_collation("backwards", lambda one, other: (one < other) - (one > other))


@pytest_twisted.async_yield_fixture
async def primary(tmp_path: Path) -> Any:
    """A primary with a table."""
    made = Primary(reactor, DatabasePaths.of(tmp_path / "primary.db"), setup=set_up)
    await made.open()
    await made.execute(TABLE)
    yield made
    await made.close()


@pytest_twisted.ensureDeferred
async def test_values_by_place_and_by_name(primary: Primary) -> None:
    """They are bound, whatever they hold; the log has the rows."""
    await primary.execute("INSERT INTO t VALUES (?, ?)", (1, "it's; -- \0"))
    await primary.execute("INSERT INTO t VALUES (:id, :a)", {"id": 2, "a": b"\x00\xff"})
    await primary.transaction(
        ["UPDATE t SET a = ? WHERE id = 1", "DELETE FROM t WHERE id = 2"], parameters=[(2.5,), None]
    )
    position = await primary.execute_many("INSERT INTO t (a) VALUES (?) RETURNING id", [(n,) for n in range(3)])
    assert position.results[0].rows == [(2,), (3,), (4,)]
    assert logged(primary.paths.wal)[-6:] == [
        "COMMIT",
        "BEGIN",
        *(f"INSERT INTO t(id,a)VALUES({n + 2},{n})" for n in range(3)),
        "COMMIT",
    ]
    for refused in (
        primary.execute("INSERT INTO t VALUES (?, ?)", (1,)),
        primary.execute("INSERT INTO t VALUES (9, ?)", (object(),)),  # type: ignore[arg-type]
        primary.execute("INSERT INTO t VALUES (9, ?)", (2**63,)),
        primary.execute_many("INSERT INTO t VALUES (?, 0)", [(9,), (9,)]),
        primary.execute_many("CREATE TABLE x (a)", [()]),
    ):
        with pytest.raises(StatementFailed):
            await refused
    with pytest.raises(UsageError, match="for none or for all"):
        await primary.transaction(["DELETE FROM t", "DELETE FROM t"], parameters=[None])
    assert (await primary.query("SELECT count(*) FROM t WHERE id = 9")).rows == [(0,)]


@pytest_twisted.ensureDeferred
async def test_a_block_is_one_transaction(primary: Primary) -> None:
    """Others see nothing of it before its end, and wait with what they write; it reads its own rows."""
    order: list[str] = []

    def noted(position: Any) -> Any:
        order.append("other")
        return position

    async with primary.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (?, ?)", (1, "x"))
        other = primary.execute("INSERT INTO t (a) VALUES ('other')")
        other.addBoth(noted)
        found = await tx.execute("SELECT a FROM t")
        assert (found.columns, found.rows) == (("a",), [("x",)])
        assert (await tx.execute_many("INSERT INTO t (a) VALUES (?) RETURNING a", [(5,), (6,)])).rows == [
            (5,),
            (6,),
        ]
        assert (await primary.query("SELECT count(*) FROM t")).rows == [(0,)]
        assert not order
    assert tx.position == (await other) - len("xxxxxxxxx" + "INSERT INTO t(id,a)VALUES(4,'other')")
    assert logged(primary.paths.wal)[1:] == [
        "BEGIN",
        "INSERT INTO t(id,a)VALUES(1,'x')",
        "INSERT INTO t(id,a)VALUES(2,5)",
        "INSERT INTO t(id,a)VALUES(3,6)",
        "COMMIT",
        "INSERT INTO t(id,a)VALUES(4,'other')",
    ]
    with pytest.raises(ServiceStopped, match="has ended"):
        await tx.execute("DELETE FROM t")


@pytest_twisted.ensureDeferred
async def test_a_statement_of_a_block_that_fails_is_undone_alone(primary: Primary) -> None:
    """Its rows, too, where it had changed some; savepoints work across statements."""
    async with primary.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (1, 1)")
        with pytest.raises(StatementFailed, match="UNIQUE"):
            await tx.execute("INSERT OR FAIL INTO t VALUES (2, 2), (1, 1)")
        await tx.execute("SAVEPOINT s")
        await tx.execute("INSERT INTO t VALUES (3, 3)")
        await tx.execute("ROLLBACK TO s")
        await tx.execute("INSERT INTO t VALUES (4, 4)")
        await tx.execute("RELEASE s")
    assert (await primary.query("SELECT id FROM t")).rows == [(1,), (4,)]
    assert logged(primary.paths.wal)[2:-1] == ["INSERT INTO t(id,a)VALUES(1,1)", "INSERT INTO t(id,a)VALUES(4,4)"]


@pytest_twisted.ensureDeferred
async def test_an_exception_undoes_a_block(primary: Primary) -> None:
    """The log has nothing of it, and the next one goes on."""
    before = primary.position

    async def raises() -> None:
        async with primary.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 1)")
            await tx.execute("PRAGMA foreign_keys = ON")
            raise ZeroDivisionError

    async def rolls_back() -> None:
        async with primary.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 1)")
            with pytest.raises(StatementFailed, match="UNIQUE"):
                await tx.execute("INSERT OR ROLLBACK INTO t VALUES (1, 1)")

    with pytest.raises(ZeroDivisionError):
        await raises()
    with pytest.raises(StatementFailed, match="was rolled back by a statement"):
        await rolls_back()
    async with primary.transaction() as tx:
        assert (await tx.execute("PRAGMA foreign_keys")).rows == [(0,)]
    assert primary.position == before == primary.paths.wal.stat().st_size
    await primary.execute("INSERT INTO t VALUES (1, 1)")


@pytest_twisted.ensureDeferred
async def test_a_block_that_never_ends(primary: Primary) -> None:
    """It is rolled back when its time is over, also while a statement runs, and others go on."""

    async def lingers() -> None:
        async with primary.transaction(deadline=0.2) as tx:
            await tx.execute("INSERT INTO t VALUES (1, 1)")
            other = primary.execute("INSERT INTO t VALUES (2, 2)")
            with pytest.raises(TransactionExpired):
                await tx.execute(FOREVER)
            await other
            await tx.execute("INSERT INTO t VALUES (3, 3)")

    with pytest.raises(TransactionExpired):
        await lingers()
    assert rows_of(primary.paths.database, "SELECT id FROM t") == [(2,)]


@pytest_twisted.ensureDeferred
async def test_closing_interrupts_what_takes_too_long(primary: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is undone, what waits is not begun, and each is told so."""
    monkeypatch.setattr(primary_module, "CLOSING_SECONDS", 0.1)
    await primary.execute("INSERT INTO t VALUES (1, 1)")
    asked = [primary.execute(FOREVER), primary.execute("INSERT INTO t VALUES (2, 2)")]
    await primary.close()
    for one in asked:
        with pytest.raises(ServiceStopped, match="nothing of it was done"):
            await one
    await primary.open()
    assert (await primary.query("SELECT id FROM t")).rows == [(1,)]
    await primary.execute("INSERT INTO t VALUES (3, 3)")


@pytest_twisted.ensureDeferred
async def test_rows_are_streamed(primary: Primary) -> None:
    """A few at a time, of one moment; the connection is free again at the end, at an early one too."""
    await primary.execute_many("INSERT INTO t (a) VALUES (?)", [(n,) for n in range(2000)])
    stream = primary.stream("SELECT a FROM t WHERE a < ? ORDER BY id", (1700,))
    found = [await stream.__anext__()]
    assert stream.columns == ("a",)
    await primary.execute("DELETE FROM t")
    found += [row async for row in stream]
    assert found == [(n,) for n in range(1700)]
    async with primary.stream(f"{NUMBERS} SELECT i FROM n") as rows:
        async for row in rows:
            if row == (1234,):
                break
    assert not len(primary._readers)
    with pytest.raises(StatementFailed, match="no such table"):
        await primary.stream("SELECT * FROM nowhere").__anext__()
    with pytest.raises(StatementFailed, match="only reads"):
        await primary.stream("DELETE FROM t").__anext__()
    forgotten = primary.stream("VALUES (1), (2)", patience=0.05)
    await forgotten.__anext__()
    await forgotten.closed
    with pytest.raises(StatementFailed, match="no row was taken"):
        await forgotten.__anext__()


@pytest_twisted.ensureDeferred
async def test_functions_and_collations_of_the_program(primary: Primary) -> None:
    """They work in statements and queries; what they raise is the statement's failure."""
    await primary.execute("INSERT INTO t VALUES (1, double(21))")
    assert logged(primary.paths.wal)[-1] == "INSERT INTO t(id,a)VALUES(1,42)"
    found = await primary.query("SELECT double(a) FROM t ORDER BY 1 COLLATE backwards")
    assert found.rows == [(84,)]
    for failing in (primary.execute("UPDATE t SET a = double(NULL)"), primary.query("SELECT double(NULL)")):
        with pytest.raises(StatementFailed, match="NoneType"):
            await failing
    await primary.execute("DELETE FROM t")


@pytest_twisted.ensureDeferred
async def test_another_program_that_writes_is_named(primary: Primary) -> None:
    """From the next write on."""
    assert primary.warning is None
    rows_of(primary.paths.database, "INSERT INTO t VALUES (7, 7)")
    await primary.execute("INSERT INTO t VALUES (8, 8)")
    assert "another program has changed" in str(primary.warning)


@pytest_twisted.ensureDeferred
async def test_settings_are_stored(primary: Primary) -> None:
    """Foreign keys stay on until they are switched off, and are due when a request ends."""
    await primary.execute("CREATE TABLE c (t REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    await primary.execute("PRAGMA foreign_keys = ON")
    await primary.close()
    await primary.open()
    done: list[Deferred[Any]] = [
        primary.execute("INSERT INTO c VALUES (1)"),
        primary.transaction(["INSERT INTO c VALUES (2)", "INSERT INTO t VALUES (2, 2)"]),
    ]
    with pytest.raises(StatementFailed, match="FOREIGN KEY"):
        await done[0]
    await done[1]

    async def dangles() -> None:
        async with primary.transaction() as tx:
            await tx.execute("INSERT INTO c VALUES (3)")

    with pytest.raises(StatementFailed, match="FOREIGN KEY"):
        await dangles()
    await primary.execute("PRAGMA foreign_keys = OFF")
    await primary.execute("INSERT INTO c VALUES (4)")
    assert (await primary.query("SELECT t FROM c")).rows == [(2,), (4,)]


def test_a_block_after_the_end(tmp_path: Path) -> None:
    """A primary that is not open takes none."""
    primary = Primary(reactor, DatabasePaths.of(tmp_path / "primary.db"))

    async def block() -> None:
        async with primary.transaction():
            raise AssertionError

    failed: list[Any] = []
    ensureDeferred(block()).addErrback(failed.append)
    assert isinstance(failed[0].value, ServiceStopped)

"""Limits agree along the way: what a primary accepts is walked, published and applied, at each limit and by one.

A primary, a follower that others follow, a follower and two subscribers, of the primary and of that follower. What
the primary refuses leaves no trace; after it everything goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.catalogue import changes
from spgrepl.disk.limits import ReplicaLimits
from spgrepl.errors import SpgReplError
from spgrepl.log.format.records import DEFAULT_MAX_RECORD, RecordType, encode_timed
from spgrepl.log.reader import Damage, iterate_records, scan_log
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.master.judged.cutting import LOOK_AHEAD
from spgrepl.primary.primary import Primary, PrimaryLimits
from spgrepl.primary.service import PrimaryService
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.server.role import Role
from spgrepl.server.role_settings import MasterSettings
from spgrepl.server.roles import MasterRole
from spgrepl.testing import Cluster
from spgrepl.wire.frames import DEFAULT_MAX_FRAME, frame_for
from spgrepl.wire.subscription import MAX_HELLO, MAX_PUBLICATIONS, SubscriberHello
from tests import sql as sqlite3

RECORD = 4000
BESIDE = (-1, 0, 1)


class Site:
    """The nodes, and what is asked of the primary."""

    def __init__(self, folder: Path, max_record: int = RECORD, limits: PrimaryLimits | None = None) -> None:
        self.cluster = Cluster(folder)
        self.max_record = max_record
        reactor, paths = self.cluster.reactor, self.cluster.paths("p")
        limits = limits or PrimaryLimits(max_record)
        self.primary = Primary(reactor, paths, limits=limits, wal_level=WalLevel(Level.LOGICAL))
        master = MasterSettings(paths, self.cluster.network.server("p"), max_record=max_record)
        self.cluster.start(PrimaryService(self.primary))
        role = self.cluster.start(MasterRole(reactor, master, primary=self.primary))
        self.cluster.wait(role.when_ready())

    def follow(self) -> None:
        """Start the copies: of what is there now."""
        more = {"max_record": self.max_record, "max_frame": frame_for(self.max_record)}
        self.cluster.follower("r", of="p", wal_level=WalLevel(Level.LOGICAL), **more)
        self.cluster.pass_time(2)
        self.cluster.follower("f", of="r", **more)
        self.cluster.subscriber("every", name="s1", of="p", **more)
        self.cluster.subscriber("every", name="s2", of="r", **more)
        self.same()

    def run(self, *statements: str) -> bool:
        """Run statements as one transaction; returns whether they were accepted."""
        asked = self.primary.transaction(list(statements))
        return self.came(asked)

    def came(self, asked: Deferred[object]) -> bool:
        found: list[object] = []
        asked.addBoth(found.append)
        self.cluster.until(lambda: found)
        if isinstance(found[0], Failure):
            assert found[0].check(SpgReplError), found[0]
            return False
        return True

    def rows(self, name: str) -> list[object]:
        """The content of all tables of a node."""
        with closing(sqlite3.connect(self.cluster.paths(name).database)) as database:
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'spgrepl%' ORDER BY name"
            ).fetchall()
            return [
                (table, database.execute('SELECT * FROM "' + table.replace('"', '""') + '" ORDER BY 1').fetchall())
                for (table,) in tables
            ]

    def same(self) -> None:
        """Everything goes on, and all have what the primary has."""
        assert self.run("INSERT INTO c VALUES ((SELECT COALESCE(MAX(a), 0) + 1 FROM c))")
        wanted = self.rows("p")
        self.cluster.until(lambda: all(self.rows(name) == wanted for name in ("r", "f", "s1", "s2")), 30)
        wal = self.cluster.paths("p").wal
        assert scan_log(wal, max_record=self.max_record).damage is Damage.NONE

    def close(self) -> None:
        self.cluster.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def begin(site: Site, *tables: str) -> None:
    for statement in ("CREATE TABLE c (a INTEGER PRIMARY KEY)", *tables, "CREATE PUBLICATION every"):
        assert site.run(statement), statement
    site.follow()


# -- records --------------------------------------------------------------------------------------------------

ROW = "INSERT INTO t VALUES (1, {})"


def length_of_row(site: Site, table: str) -> int:
    """How long the last record of a table's row is, as SQL."""
    batches = iterate_records(site.cluster.paths("p").wal, max_record=site.max_record)
    found = [len(sql) for batch in batches for sql in batch.sql if sql is not None and table.encode() in sql]
    return found[-1]


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize(
    ("make", "each"),
    [(lambda size: "'" + "x" * size + "'", 1), (lambda size: f"zeroblob({size // 2})", 2)],
    ids=["text", "blob"],
)
@pytest.mark.parametrize("together", [False, True])
def test_a_row_as_long_as_a_record_may_be(
    site: Site, make: Callable[[int], str], each: int, beside: int, together: bool
) -> None:
    begin(site, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    assert site.run(ROW.format(make(1000)))
    around = length_of_row(site, "t") - 1000
    assert site.run("DELETE FROM t")
    more = ["INSERT INTO c VALUES (1000)"] if together else []
    accepted = site.run(ROW.format(make(RECORD - around + beside * each)), *more)
    assert accepted is (beside <= 0)
    site.same()
    assert bool(dict(site.rows("s2"))["t"]) is accepted  # type: ignore[call-overload]
    assert ((1000,) in dict(site.rows("f"))["c"]) is (accepted and together)  # type: ignore[call-overload]


@pytest.mark.parametrize("beside", BESIDE)
def test_an_updated_row_as_long_as_a_record_may_be(site: Site, beside: int) -> None:
    begin(site, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    assert site.run("INSERT INTO t VALUES (1, 'short')", "UPDATE t SET b = 'y'")
    around = length_of_row(site, "t") - 1
    assert site.run(f"UPDATE t SET b = '{'x' * (RECORD - around + beside)}'") is (beside <= 0)
    site.same()


@pytest.mark.parametrize("beside", BESIDE)
def test_a_statement_as_long_as_a_record_may_be(site: Site, beside: int) -> None:
    """One that is logged as it was written."""
    begin(site)
    head = "CREATE TABLE made (a INTEGER PRIMARY KEY, b DEFAULT '"
    accepted = site.run(head + "x" * (RECORD - len(head) - 2 + beside) + "')")
    assert accepted is (beside <= 0)
    site.cluster.pass_time(1)
    assert ("made" in dict(site.rows("f"))) is accepted  # type: ignore[call-overload]


def test_the_longest_record_fits_into_the_longest_frame() -> None:
    around = len(encode_timed(RecordType.TIMED, 1, None, b""))
    assert around <= DEFAULT_MAX_FRAME - DEFAULT_MAX_RECORD
    assert frame_for(10 * DEFAULT_MAX_RECORD) > 10 * DEFAULT_MAX_RECORD
    assert frame_for(1) == DEFAULT_MAX_FRAME


# -- transactions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("released", [False, True])
def test_savepoints_by_the_thousand(site: Site, released: bool) -> None:
    """10,001 of them stand in each other; what came after the last thousand of them is rolled back."""
    begin(site, "CREATE TABLE t (a INTEGER PRIMARY KEY)")
    statements = []
    for number in range(10_001):
        statements.append(f"SAVEPOINT s{number}")
        if number % 100 == 0:
            statements.append(f"INSERT INTO t VALUES ({number})")
    statements.append("ROLLBACK TO s9000")
    if released:
        statements.append("RELEASE s0")
    assert site.run(*statements)
    site.same()
    assert dict(site.rows("s2"))["t"] == [(number,) for number in range(0, 9000, 100)]  # type: ignore[call-overload]


def test_savepoints_one_after_the_other(site: Site) -> None:
    """10,001 of them, of which every other one is rolled back."""
    begin(site, "CREATE TABLE t (a INTEGER PRIMARY KEY)")
    statements = []
    for number in range(10_001):
        statements += ["SAVEPOINT s", f"INSERT INTO t VALUES ({number})"]
        if number % 2:
            statements.append("ROLLBACK TO s")
        statements.append("RELEASE s")
    assert site.run(*statements)
    site.same()
    assert len(dict(site.rows("s2"))["t"]) == 5001  # type: ignore[call-overload]


def test_a_transaction_of_many_statements_and_bytes(site: Site) -> None:
    """It has no limit of its own, and is longer than anything that is read at once."""
    begin(site, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    before = site.cluster.paths("p").wal.stat().st_size
    count = 20_001
    assert site.run(*(f"INSERT INTO t VALUES ({number}, '{'x' * 300}')" for number in range(count)))
    assert site.cluster.paths("p").wal.stat().st_size - before > LOOK_AHEAD
    site.same()
    assert len(dict(site.rows("s2"))["t"]) == count  # type: ignore[call-overload]


@pytest.mark.parametrize("beside", BESIDE)
def test_as_much_as_may_wait(tmp_path: Path, beside: int) -> None:
    """Of requests, and of their characters: what is refused for now leaves no trace, and the rest goes on."""
    row = "INSERT INTO c VALUES ({:06d})"
    length = len(row.format(0))
    for limits in (
        PrimaryLimits(requests=10),
        PrimaryLimits(size=9 * length),  # the first one is being carried out, and does not wait any more
    ):
        folder = tmp_path / f"{limits.requests}"
        folder.mkdir()
        site = Site(folder, DEFAULT_MAX_RECORD, limits)
        try:
            begin(site)
            asked = [site.primary.execute(row.format(1000 + number)) for number in range(10 + beside)]
            accepted = [site.came(one) for one in asked]
            assert accepted == [number < 10 for number in range(10 + beside)]
            site.same()
            assert len(dict(site.rows("s2"))["c"]) == sum(accepted) + 2  # type: ignore[call-overload]
        finally:
            site.close()


# -- snapshots ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", BESIDE)
def test_a_snapshot_as_long_as_it_may_be(site: Site, beside: int) -> None:
    """A follower and a subscriber take one of just that length; another ends by name, and leaves nothing."""
    rows = [f"INSERT INTO t VALUES ({number}, zeroblob(1500))" for number in range(30)]
    begin(site, "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)", *rows)

    def copies(limit: int) -> dict[str, Role]:
        taken, more = ReplicaLimits(snapshot_bytes=limit), {"max_record": site.max_record}
        follower, subscriber = f"follower{limit}", f"subscriber{limit}"
        return {
            follower: site.cluster.follower(follower, of="p", listen=False, replica=taken, **more),
            subscriber: site.cluster.subscriber("every", name=subscriber, of="p", limits=taken, **more),
        }

    def refused(limit: int) -> int:
        """See that both refuse it by its length, which is returned."""
        found = set()
        for name, role in copies(limit).items():
            site.cluster.until(lambda role=role: "--max-snapshot-bytes" in str(role.status()["error"]))
            said = re.search(f"a snapshot of ([0-9]+) bytes, and {limit} are accepted", role.status()["error"])
            assert said is not None
            found.add(int(said[1]))
            assert not site.cluster.paths(name).database.exists() or "t" not in dict(site.rows(name))  # type: ignore[call-overload]
            site.cluster.stop(role)
        (length,) = found
        return length

    length = refused(1)
    if beside > 0:
        assert refused(length - beside) == length
    else:
        there = copies(length - beside)
        site.cluster.until(lambda: all(site.rows(name) == site.rows("p") for name in there), 30)
    site.same()


# -- tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", BESIDE)
def test_as_many_columns_as_a_table_may_have(tmp_path: Path, beside: int) -> None:
    site = Site(tmp_path, 64 * 1024)
    try:
        begin(site)
        count = 2000 + beside
        accepted = site.run(f"CREATE TABLE t ({', '.join(f'c{number}' for number in range(count))})")
        assert accepted is (beside <= 0)
        if accepted:
            for name in ("s1", "s2"):
                with closing(sqlite3.connect(site.cluster.paths(name).database)) as database:
                    database.execute(f"CREATE TABLE t ({', '.join(f'c{number}' for number in range(count))})")
                    database.commit()
            assert site.run("INSERT INTO t DEFAULT VALUES", f"UPDATE t SET c{count - 1} = 5, c0 = 'x'")
        site.same()
    finally:
        site.close()


@pytest.mark.parametrize("size", [63, 64, 255, 256, 1000, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1])
def test_names_of_any_length(tmp_path: Path, size: int) -> None:
    """SQLite knows no limit of them, but that of a statement."""
    site = Site(tmp_path, 256 * 1024)
    try:
        name = "n" * size
        begin(site, f"CREATE TABLE {name} (a INTEGER PRIMARY KEY, {name} TEXT)")
        assert site.run(f"INSERT INTO {name} VALUES (1, 'x'), (2, 'y')", f"UPDATE {name} SET {name} = 'z'")
        assert site.run(f"DELETE FROM {name} WHERE a = 1")
        site.same()
        assert dict(site.rows("s2"))[name] == [(2, "z")]  # type: ignore[call-overload]
    finally:
        site.close()


# -- publications ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", BESIDE)
def test_as_many_changes_of_publications_as_one_transaction_may_hold(
    site: Site, beside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_CHANGES", 10)
    begin(site)
    accepted = site.run(*(f"CREATE PUBLICATION p{number} FOR TABLE c" for number in range(10 + beside)))
    assert accepted is (beside <= 0)
    site.same()


@pytest.mark.parametrize("beside", BESIDE)
def test_as_many_publications_as_a_hello_may_ask_for(site: Site, beside: int) -> None:
    begin(site)
    names = tuple(f"p{number}" for number in range(MAX_PUBLICATIONS + beside - 1))
    for name in names:
        assert site.run(f"CREATE PUBLICATION {name} FOR TABLE c")
    asked(site, (*names, "every"), accepted=beside <= 0)


@pytest.mark.parametrize("beside", BESIDE)
def test_names_of_publications_as_long_as_a_hello_may_be(tmp_path: Path, beside: int) -> None:
    """The longest name that can be subscribed to can be published; a longer one is refused when it is made."""
    site = Site(tmp_path, 256 * 1024)
    try:
        begin(site)
        name = "n" * (MAX_HELLO - len(SubscriberHello(1, ("",), 1).encode()) + beside)
        assert site.run(f"CREATE PUBLICATION {name} FOR TABLE c") is (beside <= 0)
        if beside <= 0:
            asked(site, (name,), accepted=True)
        site.same()
    finally:
        site.close()


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("length", [False, True])
def test_a_subscription_asks_for_as_much_as_a_hello_may(tmp_path: Path, beside: int, length: bool) -> None:
    site = Site(tmp_path, 256 * 1024)
    try:
        begin(site)
        names = tuple(f"p{number}" for number in range(MAX_PUBLICATIONS + beside))
        if length:
            around = len(SubscriberHello(1, ("first", ""), 1).encode())
            names = ("first", "n" * (MAX_HELLO - around + beside))
        statement = f"CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION {', '.join(names)}"
        assert site.run(statement) is (beside <= 0)
        if beside <= 0:
            assert Subscription("s", names).publications == names
            assert site.run("DROP SUBSCRIPTION s")
        site.same()
    finally:
        site.close()


def asked(site: Site, names: tuple[str, ...], accepted: bool) -> None:
    """A subscriber to so many gets what there is, or is told at once that it asks for too many."""
    if not accepted:
        with pytest.raises(SpgReplError):
            Subscription("s3", names)
        return
    site.cluster.subscriber(*names, name="s3", of="p", max_record=site.max_record)
    assert site.run("INSERT INTO c VALUES (5000)")
    site.cluster.until(lambda: dict(site.rows("s3")).get("c") == dict(site.rows("p"))["c"], 30)  # type: ignore[call-overload]
    site.same()

"""Limits agree along the way from an SPG server: what a follower takes is applied, here and in a PostgreSQL, and
goes on to a follower and a subscriber of it. By one more it stops there by name, and holds what came before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import defer

from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.limits import ReplicaLimits
from spgrepl.log.format.lzss import compress
from spgrepl.log.format.records import (
    RecordType,
    encode_mysql,
    encode_timed,
    encode_v1,
    encode_v2,
    encode_v3,
)
from spgrepl.log.transactions import savepoints, walk
from spgrepl.replica.following.service import FollowerService
from spgrepl.wire import segment_chunks
from tests.spg_master.kit import SpgCase
from tests.spg_master.test_chain import ChainCase
from tests.spg_master.test_postgresql import PostgresqlCase

RECORD = 4000
BESIDE = (-1, 0, 1)


def of_length(size: int, key: int) -> bytes:
    """An INSERT of so many bytes."""
    head = f"INSERT INTO a (id, name) VALUES ({key}, '"
    return f"{head}{'x' * (size - len(head) - 2)}')".encode()


FORMS: dict[str, Callable[[int, int], bytes]] = {
    "v1": lambda size, key: encode_v1(of_length(size, key)),
    "v2": lambda size, key: encode_v2(of_length(size, key)),
    "plain": lambda size, key: encode_v3(RecordType.SQL, of_length(size, key)),
    # What counts is what a compressed one expands to.
    "compressed": lambda size, key: encode_v3(RecordType.COMPRESSED, b"\1" + compress(of_length(size, key))),
    "mysql": lambda size, key: encode_mysql(of_length(size - 1, key)),
    "mysql, compressed": lambda size, key: encode_mysql(of_length(size, key), compressed=True),
    "timed": lambda size, key: encode_timed(RecordType.TIMED, 1, None, of_length(size, key)),
    "transaction": lambda size, key: encode_timed(RecordType.TRANSACTION, 1, None, of_length(size, key)),
}
"""Records whose length, as it is limited, is so many bytes."""


class Limits:
    """What both kinds of copies have to do."""

    def keys(self: Any) -> list[int]:
        """The keys of the copy's table ``a``."""
        return [key for key, _ in self.pairs("a")]

    def stops(self: Any, service: FollowerService, words: str) -> Any:
        """Wait until it says that it cannot go on, by these words."""
        return self.until(lambda: words in str(service.status()["error"]))

    def counts(self: Any, service: FollowerService, kind: str) -> Any:
        """Wait until it has counted an end of a connection by its kind."""
        return self.until(lambda: service.status()["errors"]["by_kind"].get(kind))

    @defer.inlineCallbacks
    def test_records_as_long_as_they_may_be(self: Any) -> Any:
        endpoint = yield self.serve()
        service = self.follow(endpoint, max_record=RECORD)
        yield self.caught_up(service)
        for number, make in enumerate(FORMS.values()):
            self.database.append(make(RECORD - 1, 2 * number) + make(RECORD, 2 * number + 1))
        yield self.caught_up(service)
        assert self.keys() == list(range(2 * len(FORMS)))
        assert service.status()["error"] is None

    @defer.inlineCallbacks
    def test_records_that_are_longer_by_one(self: Any) -> Any:
        endpoint = yield self.serve()
        for number, (name, make) in enumerate(FORMS.items()):
            service = self.follow(endpoint, max_record=RECORD)
            yield self.caught_up(service)
            good = self.database.position
            self.database.append(make(RECORD + 1, number))
            yield self.stops(service, f"{RECORD + 1} bytes, the limit is {RECORD}")
            assert service.status()["positions"]["applied"] == good, name
            assert self.keys() == list(range(number)), name
            yield service.stopService()
            # Who raises the limit, as he is told to, has it.
            again = self.follow(endpoint, max_record=RECORD + 1)
            yield self.caught_up(again)
            assert self.keys() == list(range(number + 1)), name
            yield again.stopService()

    # -- transactions -----------------------------------------------------------------------------------------

    def transaction(self: Any, *statements: str) -> None:
        """Log a transaction that was committed."""
        self.database.append(b"".join(encode_v2(one.encode()) for one in ("BEGIN", *statements, "COMMIT")))

    @defer.inlineCallbacks
    def test_savepoints_by_the_thousand(self: Any) -> Any:
        service = self.follow((yield self.serve()))
        yield self.caught_up(service)
        expected = self.thousands_of_savepoints()
        yield self.caught_up(service)
        assert self.keys() == expected

    @defer.inlineCallbacks
    def test_savepoints_of_one_name_by_the_thousand(self: Any) -> Any:
        """As drivers set them: one before each statement, and some of those statements fail."""
        service = self.follow((yield self.serve()))
        yield self.caught_up(service)
        statements = []
        for number in range(10_001):
            statements += ["SAVEPOINT s"]
            if number % 100 < 2:
                statements.append(f"INSERT INTO a (id, name) VALUES ({number}, 'row')")
            if number % 100 == 1:
                statements.append("ROLLBACK TO SAVEPOINT s")
        self.transaction(*statements)
        yield self.caught_up(service)
        assert self.keys() == list(range(0, 10_001, 100))

    @defer.inlineCallbacks
    def test_as_many_savepoints_as_are_followed(self: Any) -> Any:
        """At once, of different names, and stretches that are rolled back."""
        kinds: dict[str, tuple[Any, str, int, Callable[[int], list[str]]]] = {
            "savepoints are set at once": (
                savepoints,
                "MAX_SAVEPOINTS",
                30,
                lambda count: ["SAVEPOINT s"] * count,
            ),
            "names are set at once": (
                savepoints,
                "MAX_NAMES",
                20,
                lambda count: [f"SAVEPOINT s{number}" for number in range(count)],
            ),
            "stretches of the log are rolled back": (
                walk,
                "MAX_REVOKED",
                10,
                lambda count: [
                    one
                    for number in range(count)
                    for one in (
                        "SAVEPOINT s",
                        f"INSERT INTO b (id, name) VALUES ({number}, 'gone')",
                        "ROLLBACK TO SAVEPOINT s",
                        "RELEASE SAVEPOINT s",
                        f"INSERT INTO b (id, name) VALUES ({number}, 'stays')",
                    )
                ],
            ),
        }
        endpoint = yield self.serve()
        expected: list[int] = []
        for at, (words, (module, name, most, make)) in enumerate(kinds.items()):
            self.patch(module, name, most)
            for beside in BESIDE:
                key = 10 * at + beside + 1
                service = self.follow(endpoint)
                yield self.caught_up(service)
                good = self.database.position
                self.transaction(
                    *make(most + beside), f"INSERT INTO a (id, name) VALUES ({key}, 'row')", "DELETE FROM b"
                )
                if beside > 0:
                    yield self.stops(service, words)
                    assert self.keys() == expected
                    yield service.stopService()
                    with self.database.wal.open("r+b") as log:
                        log.truncate(good)
                else:
                    expected.append(key)
                    yield self.caught_up(service)
                    assert self.keys() == expected
                    yield service.stopService()

    # -- snapshots and segments -------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def test_a_snapshot_as_long_as_it_may_be(self: Any) -> Any:
        self.database.client().insert("a", *range(20))
        length = len(self.database.snapshot())
        endpoint = yield self.serve()
        refused = self.follow(endpoint, limits=ReplicaLimits(snapshot_bytes=length - 1))
        yield self.stops(refused, f"a snapshot of {length} bytes, and {length - 1} are accepted")
        yield refused.stopService()
        for beside in (0, 1):
            service = self.follow(endpoint, limits=ReplicaLimits(snapshot_bytes=length + beside))
            yield self.caught_up(service)
            assert self.keys() == list(range(20))
            yield service.stopService()

    @defer.inlineCallbacks
    def test_segments_cut_at_any_length(self: Any) -> Any:
        """Into single bytes, and as long as the longest chunk may be, by one."""
        longest = self.freeze()
        self.patch(segment_chunks, "MAX_CHUNK", longest - 1)
        endpoint = yield self.serve()
        for chunk in (longest, longest - 1, longest - 2, 1):
            self.server.chunk = chunk
            service = self.follow(endpoint)
            if chunk == longest:
                yield self.counts(service, "chunk_too_long")
            else:
                yield self.goes_on(service)
            yield service.stopService()
            self.begin_again()

    @defer.inlineCallbacks
    def test_as_many_bytes_of_segments_as_may_be_open(self: Any) -> Any:
        longest = self.freeze()
        self.server.chunk = longest // 3
        endpoint = yield self.serve()
        for beside in BESIDE:
            service = self.follow(endpoint, limits=ReplicaLimits(open_segment_bytes=longest + beside))
            if beside < 0:
                yield self.counts(service, "limit_reached")
            else:
                yield self.goes_on(service)
            yield service.stopService()
            self.begin_again()

    @defer.inlineCallbacks
    def goes_on(self: Any, service: FollowerService) -> Any:
        """Wait until it has the rows of the segments, and one more from the log, which comes after them."""
        yield self.caught_up(service)
        self.database.client().insert("a", len(self.database.ids("a")))
        yield self.caught_up(service)
        assert self.keys() == self.database.ids("a")

    def freeze(self: Any) -> int:
        """Move rows to segments of several lengths; returns how long the longest is."""
        self.database.client().insert("a", *range(60))
        for number, keys in enumerate((range(5), range(5, 30), range(30, 40))):
            self.database.freeze("a", keys, number, compressed=number == 0)
        return max(map(len, self.database.segments.values()))

    def thousands_of_savepoints(self: Any) -> list[int]:
        """10,001 savepoints stand in each other; what came after the last thousand of them is rolled back."""
        statements = []
        for number in range(10_001):
            statements.append(f"SAVEPOINT s{number}")
            if number % 100 == 0:
                statements.append(f"INSERT INTO a (id, name) VALUES ({number}, 'row')")
        self.transaction(*statements, "ROLLBACK TO SAVEPOINT s9000", "RELEASE SAVEPOINT s0")
        return list(range(0, 9000, 100))


class SqliteTest(Limits, SpgCase):
    def begin_again(self) -> None:
        """Go on with other files, as a copy that is new."""
        self.paths = DatabasePaths.of(self.folder / f"copy-{self.paths.database.stat().st_ino}.db")


class PostgresqlTest(Limits, PostgresqlCase):
    def begin_again(self) -> None:
        """Go on with other files and an empty database, as a copy that is new."""
        self.paths = DatabasePaths.of(self.folder / f"copy-{len(list(self.folder.iterdir()))}.db")
        self.postgres.query("copy", "DROP TABLE IF EXISTS a, b; DROP SCHEMA IF EXISTS spgrepl CASCADE")


class ChainTest(ChainCase):
    """From the server to a follower, and from that to another one and to a subscriber."""

    transaction = Limits.transaction

    @defer.inlineCallbacks
    def test_what_is_taken_goes_on(self) -> Any:
        self.database.publish("p", "FOR TABLE a")
        more = {"max_record": RECORD}
        role, endpoint = yield self.middle(**more)
        copies, self.paths = self.paths, DatabasePaths.of(self.folder / "second.db")
        second = self.follow(endpoint, **more)
        self.subscribe(endpoint, "p", **more)
        yield self.has("a")
        for number, make in enumerate(FORMS.values()):
            self.database.append(make(RECORD, number))
        expected = list(range(len(FORMS)))
        yield self.has("a", *expected)
        self.database.append(encode_v2(b"DELETE FROM a"))
        expected = Limits.thousands_of_savepoints(self)
        yield self.has("a", *expected)
        for service, paths in ((role.follower, copies), (second, self.paths)):
            end = self.database.position - (0 if service is role.follower else role.follower.log.base)
            yield self.applied(service, end)
            assert [key for key, _ in self.pairs("a", paths)] == expected

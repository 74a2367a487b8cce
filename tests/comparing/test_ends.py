"""One of two databases that are compared: where it stands, and how it is held there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.comparing.ends import SqliteEnd, Wanted, chosen_subscription
from spgrepl.engines.targets.stored_state import begin_subscription
from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.sqlite.session import Patience, plain_connection
from tests.primary.copying import Writer, opened


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with opened(tmp_path, "CREATE TABLE t (a)") as made:
        yield made


@pytest.fixture
def end(writer: Writer) -> Iterator[SqliteEnd]:
    with closing(SqliteEnd(writer.paths.database)) as made:
        yield made


def count(end: SqliteEnd) -> object:
    return end.connection.execute("SELECT count(*) FROM t").get


def test_what_is_read_stays_as_it_was_until_it_is_left(writer: Writer, end: SqliteEnd) -> None:
    assert str(end) == str(writer.paths.database)
    position = end.look()
    assert position == writer.position
    writer.execute("INSERT INTO t VALUES (1)")
    assert (count(end), end.stands().position) == (0, position)
    end.leave()
    end.leave()
    assert (count(end), end.look()) == (1, writer.position)
    end.see()
    writer.execute("INSERT INTO t VALUES (2)")
    assert count(end) == 1


def test_a_held_database_takes_no_writes(writer: Writer, end: SqliteEnd) -> None:
    with closing(plain_connection(writer.paths.database, Patience(0))) as other:
        with end.holding(), pytest.raises(apsw.BusyError):
            other.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(KeyError), end.holding():
            raise KeyError
        other.execute("INSERT INTO t VALUES (1)")


def test_a_subscription_counts_where_it_was_asked_for(writer: Writer) -> None:
    with closing(apsw.Connection(str(writer.paths.database))) as connection:
        begin_subscription(connection, "s", SubscriptionState(("p",), 7, 77))
    for wanted, position in (
        (Wanted("s"), 77),
        (Wanted("s", alone=False), writer.position),
        (Wanted(), writer.position),
    ):
        with closing(SqliteEnd(writer.paths.database, wanted)) as end:
            assert end.look() == position


def test_a_database_that_stands_nowhere_is_named(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        connection.execute("CREATE TABLE t (a)")
    with (
        closing(SqliteEnd(tmp_path / "a.db")) as end,
        pytest.raises(ConfigurationError, match=r"a\.db is not the database of a primary, a follower or a"),
    ):
        end.look()


def test_which_subscription_counts() -> None:
    assert chosen_subscription("it", ["a"], None) == "a"
    assert chosen_subscription("it", ["a", "b"], "b") == "b"
    with pytest.raises(UsageError, match="it has the subscriptions a, b"):
        chosen_subscription("it", ["a", "b"], None)
    with pytest.raises(ConfigurationError, match="it has no subscription c: it has none"):
        chosen_subscription("it", [], "c")
    with pytest.raises(ConfigurationError, match="is not the database of"):
        chosen_subscription("it", [], None)

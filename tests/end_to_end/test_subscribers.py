"""Subscribers as real processes: a chain, a database that subscribes to itself, levels, refusals, restarts."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from spgrepl.sqlite.comparison import compare_databases
from tests.end_to_end.conftest import Server, Start, run_command, until

LISTEN = ("--listen", "tcp:0:interface=127.0.0.1")


def published(server: Server, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(server.database)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def make_master(make: Start, *more: str) -> Server:
    master = make("a", "master", *LISTEN)
    master.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
        "CREATE PUBLICATION p FOR TABLE t",
    )
    return master.start("--wal-level", "logical", *more)


def make_subscriber(make: Start, name: str, of: Server, *more: str) -> Server:
    words = ("--master", f"127.0.0.1:{of.port()}", "--name", "s", "--publication", "p", *more)
    return make(name, "subscriber", *words)


def test_a_chain_of_a_follower_and_a_subscriber_ends_equal(make: Start) -> None:
    """A → B over V2 → C over SUB; B learns the publications from the stream."""
    first = make_master(make)
    second = make(
        "b", "follower", "--master", f"127.0.0.1:{first.port()}", *LISTEN, "--wal-level", "logical"
    ).start()
    first.execute("CREATE PUBLICATION q FOR TABLE u", "INSERT INTO u VALUES (7)")
    second.wait(first.execute("INSERT INTO t VALUES (3, 3)"))
    third = make_subscriber(make, "c", second, "--publication", "q").start()
    first.execute("BEGIN", "UPDATE t SET n = n + 1", "INSERT INTO u VALUES (8)", "COMMIT")
    end = first.execute("BEGIN", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (4, random())", "COMMIT")
    second.wait(end)
    base = second.status()["base"]
    third.wait(end - base)
    found = compare_databases(first.database, third.database, ["t", "u"])
    assert found.equal, found.differences
    assert found.rows == 5


def test_a_database_that_subscribes_to_itself_is_named_and_not_changed(make: Start) -> None:
    master = make_master(make)
    master.execute("INSERT INTO t VALUES (9, 9)")
    before = master.database.with_name("before.db")
    with closing(sqlite3.connect(master.database)) as source, closing(sqlite3.connect(before)) as target:
        source.backup(target)
    subscriber = make_subscriber(make, "self", master)
    subscriber._words[subscriber._words.index("--db") + 1] = str(master.database)
    subscriber.launch()
    assert subscriber.exit_code() == 78
    assert "is a primary's database" in subscriber.output()
    # One that only counts writes nothing into the database, and is told by its cluster id.
    subscriber._words += ["--engine", "counting"]
    subscriber.start()
    until(lambda: "REPLICATION_LOOP" in str(subscriber.status()["error"]), subscriber.output)
    assert subscriber.status()["state"] == "waiting"
    assert "REPLICATION_LOOP" in subscriber.output()
    master.execute("INSERT INTO u VALUES (1)")
    # No storm: the longest pause comes first, so there was one connection.
    assert master.status()["refused"] == {"replication_loop": 1}
    subscriber.stop()
    with closing(sqlite3.connect(before)) as connection:
        connection.execute("INSERT INTO u VALUES (1)")
        connection.commit()
    assert compare_databases(before, master.database).equal
    with closing(sqlite3.connect(master.database)) as connection:
        ours = connection.execute("SELECT name FROM sqlite_master WHERE name = 'spgrepl_subscriber'").fetchall()
    assert ours == []


def test_a_master_whose_level_is_replica_turns_subscribers_away_until_it_is_raised(make: Start) -> None:
    master = make_master(make, "--wal-level", "replica")
    subscriber = make_subscriber(make, "s", master).start()
    until(lambda: "effective_wal_level" in str(subscriber.status()["error"]), subscriber.output)
    assert master.status()["refused"]["wal_level_replica"] >= 1
    run_command("exec", "--db", master.database, "SET effective_wal_level = 'logical'")
    subscriber.wait(master.execute("INSERT INTO t VALUES (3, 3)"))
    assert published(subscriber, "t") == [(1, 1), (2, 2), (3, 3)]


def test_a_subscription_goes_on_where_it_was_and_a_second_process_is_kept_away(make: Start) -> None:
    master = make_master(make)
    subscriber = make_subscriber(make, "s", master).start()
    subscriber.wait(master.execute("UPDATE t SET n = n + 1"))
    second = make("again", *subscriber._words[:-4])
    second._words[second._words.index("--db") + 1] = str(subscriber.database)
    second.launch()
    assert second.exit_code() == 75
    assert "process" in second.output()
    subscriber.kill()
    end = master.execute("UPDATE t SET n = n + 1")
    subscriber.start()
    subscriber.wait(end)
    assert published(subscriber, "t") == [(1, 3), (2, 4)]


def test_without_the_rows_that_are_there_it_begins_at_the_end(make: Start) -> None:
    master = make_master(make)
    subscriber = make_subscriber(make, "s", master, "--no-copy-data")
    with closing(sqlite3.connect(subscriber.database)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    subscriber.start()
    until(lambda: subscriber.status()["effective_start"], subscriber.output)
    # Killed before its first record, it does not jump to the new end.
    subscriber.kill()
    end = master.execute("INSERT INTO t VALUES (3, 3)")
    subscriber.start()
    subscriber.wait(end)
    assert published(subscriber, "t") == [(3, 3)]


def test_what_is_refused_is_put_aside_or_stops_by_name(make: Start) -> None:
    master = make_master(make)
    stops = make_subscriber(make, "stops", master).start()
    skips = make_subscriber(make, "skips", master, "--on-error", "skip").start()
    for one in (stops, skips):
        until(lambda one=one: one.status()["state"] == "streaming", one.output)
        with closing(sqlite3.connect(one.database)) as connection:
            connection.execute("INSERT INTO t VALUES (5, 0)")
            connection.commit()
    start = master.execute("INSERT INTO t VALUES (4, 4)")
    end = master.execute("INSERT INTO t VALUES (5, 5)", "INSERT INTO t VALUES (6, 6)")
    skips.wait(end)
    assert published(skips, "t") == [(1, 1), (2, 2), (4, 4), (5, 0), (6, 6)]
    assert skips.status()["skipped"] == 1
    with closing(sqlite3.connect(skips.database)) as connection:
        kept = connection.execute("SELECT subscription, position, sql FROM spgrepl_skipped").fetchall()
    assert kept == [("s", start, "INSERT INTO t(id,n)VALUES(5,5)")]
    until(lambda: f"replay stopped at position {start}" in str(stops.status()["error"]), stops.output)
    assert published(stops, "t") == [(1, 1), (2, 2), (4, 4), (5, 0)]
    with closing(sqlite3.connect(stops.database)) as connection:
        connection.execute("DELETE FROM t WHERE id = 5")
        connection.commit()
    stops.wait(end)
    assert published(stops, "t") == [(1, 1), (2, 2), (4, 4), (5, 5), (6, 6)]


def test_a_log_that_was_replaced_stops_the_subscriber(make: Start) -> None:
    master = make_master(make)
    subscriber = make_subscriber(make, "s", master).start()
    subscriber.wait(master.execute("INSERT INTO t VALUES (3, 3)"))
    master.stop()
    for path in master.folder.glob("data.*"):
        path.unlink()
    master._words[master._words.index("--listen") + 1] = f"tcp:{master.port()}:interface=127.0.0.1"
    master.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "CREATE PUBLICATION p FOR TABLE t")
    master.start("--wal-level", "logical")
    assert subscriber.exit_code() == 76
    assert "cluster id" in subscriber.output()
    assert published(subscriber, "t") == [(1, 1), (2, 2), (3, 3)]

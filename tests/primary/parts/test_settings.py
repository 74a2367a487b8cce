"""The settings of a primary that last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spgrepl.primary.parts.settings import (
    DRAINED,
    SUBSCRIBERS,
    is_drained,
    note_subscribers,
    only_rows,
    read_settings,
    store_setting,
    use_settings,
)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        made.execute(
            "CREATE TABLE p (id INTEGER PRIMARY KEY);"
            "CREATE TABLE c (p REFERENCES p ON DELETE CASCADE);"
            "CREATE TABLE seen (a);"
            "CREATE TRIGGER s AFTER INSERT ON p BEGIN INSERT INTO seen VALUES (new.id); END"
        )
        yield made


def count(connection: apsw.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").get)


def test_what_was_never_changed_is_off(connection: apsw.Connection) -> None:
    assert read_settings(connection) == {}
    assert not is_drained(connection)
    assert not use_settings(connection, {})


def test_a_setting_is_stored_and_stored_again(connection: apsw.Connection) -> None:
    store_setting(connection, DRAINED, on=True)
    assert is_drained(connection)
    store_setting(connection, DRAINED, on=False)
    assert read_settings(connection) == {DRAINED: False}


@pytest.mark.parametrize("on", [True, False])
def test_foreign_keys_act_as_they_are_set(connection: apsw.Connection, on: bool) -> None:
    store_setting(connection, "foreign_keys", on=on)
    assert use_settings(connection, {}) is on
    assert use_settings(connection, {"foreign_keys": not on}) is not on
    use_settings(connection, {})
    connection.execute("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1); DELETE FROM p")
    assert count(connection, "c") == (0 if on else 1)


def test_recursive_triggers(connection: apsw.Connection) -> None:
    use_settings(connection, {"recursive_triggers": True})
    assert connection.execute("PRAGMA recursive_triggers").get == 1
    use_settings(connection, {})
    assert connection.execute("PRAGMA recursive_triggers").get == 0


def test_a_note_of_subscribers_changes_nothing_that_a_user_may_ask_for(connection: apsw.Connection) -> None:
    connection.execute("INSERT INTO p VALUES (77)")
    note_subscribers(connection)
    note_subscribers(connection)
    assert read_settings(connection) == {SUBSCRIBERS: True}
    assert connection.last_insert_rowid() == 77


def test_inside_only_rows_nothing_else_acts(connection: apsw.Connection) -> None:
    use_settings(connection, {"foreign_keys": True})
    connection.execute("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)")
    with only_rows(connection):
        connection.execute("INSERT INTO p VALUES (2); DELETE FROM p WHERE id = 1")
    assert (count(connection, "c"), count(connection, "seen")) == (1, 1)
    connection.execute(
        "DELETE FROM c; INSERT INTO p VALUES (3); INSERT INTO c VALUES (3); DELETE FROM p WHERE id = 3"
    )
    assert (count(connection, "c"), count(connection, "seen")) == (0, 2)

"""Settings: what a session has set says what its later statements mean."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.meanings import is_other_zone, refuse_setting, settings_of
from tests.spgsql.copy import Copy


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("timezone = utc", [("timezone", ["utc"])]),
        ("time zone asia/tokyo", [("timezone", ["asia/tokyo"])]),
        ("local datestyle to iso , dmy", [("datestyle", ["iso", "dmy"])]),
        ("@ @session . time_zone = +02:00", [("time_zone", ["+02:00"])]),
        ("@@ session . time_zone = +02:00", [("time_zone", ["+02:00"])]),
        ("@ a = 1", []),
        ("@a := 1 , global b = 2 , @@ c = 3", [("b", ["2"]), ("c", ["3"])]),
        ("@ old =@@ x , x = 0", [("x", ["0"])]),
        ("session authorization bob", [("authorization", ["bob"])]),
        ("names utf8mb4", [("names", ["utf8mb4"])]),
        ("local", [("local", [])]),
        ("session .", []),
        ("", []),
    ],
)
def test_what_a_set_sets(words: str, found: list[tuple[str, list[str]]]) -> None:
    assert list(settings_of(words.split())) == found


@pytest.mark.parametrize(
    "statement",
    [
        "SET TIME ZONE 'Asia/Tokyo'",
        "SET @@session.time_zone = '+02:00'",
        "SET sql_mode = '', time_zone = '+02:00'",
        "ALTER ROLE bob SET timezone TO 'Asia/Tokyo'",
        "ALTER DATABASE d SET TimeZone = 'Asia/Tokyo'",
    ],
)
def test_a_time_zone_is_noted_wherever_it_is_set(copy: Copy, statement: str) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMPTZ)")
    copy.run("SET TIME ZONE 'UTC'", "INSERT INTO t VALUES (1, '2024-01-02 03:04')")
    copy.run(statement)
    copy.stop("INSERT INTO t VALUES (2, '2024-01-02 03:04')", "has set another one than UTC")
    assert is_other_zone(["asia/tokyo"])


def test_a_password_beside_a_setting_is_nowhere(copy: Copy) -> None:
    copy.run("ALTER ROLE bob WITH PASSWORD 'secret'")
    copy.stop("ALTER ROLE bob PASSWORD 'secret' SET search_path = app", "after SET search_path to app")
    assert "secret" not in str(copy.counts())
    assert "secret" not in str(copy.connection.execute("SELECT * FROM spgrepl_spg_objects").fetchall())


def test_rows_that_policies_hide(copy: Copy) -> None:
    """The snapshot says that a table has them; who a statement is of is not in the log."""
    copy.run("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)")
    copy.keep("table row_security", "t", {"enabled": True, "forced": False, "policies": []})
    copy.keep("table row_security", "u", {"enabled": False, "forced": False, "policies": [{"name": "p"}]})
    copy.run("INSERT INTO t VALUES (1)", "DELETE FROM u")
    copy.stop("DELETE FROM t", "t has row security")
    copy.stop("UPDATE t SET id = 2", "t has row security")


def test_what_means_the_same_is_no_reason_to_stop() -> None:
    refuse_setting("datestyle", ["iso, mdy"])
    refuse_setting("unheard_of", ["anything"])
    with pytest.raises(StatementStopped, match="after SET datestyle"):
        refuse_setting("datestyle", ["german"])

"""Values that become texts, and texts that become values: what the master makes of them is not always known."""

from __future__ import annotations

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.postgresql.statement_meanings import tokens_of
from spgrepl.errors import StatementRefused
from spgrepl.postgresql.reading.conversions import may_be_other_day
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run

TABLE = (
    "CREATE TABLE c (id INT PRIMARY KEY, c CHAR(4), d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, ds DATE[])",
    "INSERT INTO c VALUES (1, 'ab', '2024-03-04', '2024-03-04 05:06:07', '2024-03-04 05:06:07+00', NULL)",
)
DAY = "which day a text such as 01/02/03 is depends on the DateStyle"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE t SET x = f::text", "how the master writes a number with a fraction"),
        ("UPDATE t SET x = 1.50", "how the master writes a number with a fraction"),
        ("UPDATE t SET x = f || 'a'", r"\(\) makes a text of a binary fraction"),
        ("UPDATE t SET x = concat(f, id)", r"concat\(\) makes a text of a binary fraction"),
        (
            "UPDATE t SET x = array_to_string(ARRAY[f], ',')",
            r"array_to_string\(\) makes a text of a binary fraction",
        ),
        (
            "UPDATE t SET x = (SELECT json_agg(f ORDER BY f) FROM t)",
            r"json_agg\(\) makes a text of a binary fraction",
        ),
        ("UPDATE t SET f = sin(f)", r"the last digits of sin\(\) are those of this machine"),
        ("UPDATE t SET f = f ^ 0.5", r"the last digits of dpow\(\) are those of this machine"),
        ("UPDATE t SET n = f", r"how the master rounds halves of a binary fraction, as int4\(\) does"),
        ("UPDATE t SET f = round(f)", r"how the master rounds halves of a binary fraction, as round\(\) does"),
        ("UPDATE t SET n = hashtext(x)", r"hashtext\(\) is a number of this server's own"),
        ("UPDATE t SET x = to_tsvector('english', x)", r"to_tsvector\(\) cuts and shortens words"),
        ("UPDATE c SET id = length(c)", r"what length\(\) makes of the blanks of a CHAR"),
        ("UPDATE t SET x = c FROM c WHERE c.id = t.id", r"what text\(\) makes of the blanks of a CHAR"),
        ("DELETE FROM c WHERE c LIKE 'ab%'", r"what bpcharlike\(\) makes of the blanks of a CHAR"),
        ("UPDATE c SET d = '01/02/03'", DAY),
        ("UPDATE c SET d = '01-02-2024'", "date/time field value out of range|" + DAY),
        ("UPDATE c SET d = 'Jan 2 03'", DAY),
        ("UPDATE c SET tz = '10.11.12 10:00+00'", DAY),
        ("UPDATE c SET ds = '{2024-01-02,01/02/03}'", DAY),
        ("DELETE FROM c WHERE d > '1-2-3'", DAY),
        ("UPDATE c SET d = x::date FROM one WHERE one.k = c.id", "which day a text of a column is"),
    ],
)
def test_what_the_master_makes_of_it_is_not_known(
    statement: str, said: str, engine: PostgresqlEngine, database: Database
) -> None:
    run(engine, TABLE, 300)
    before = [database.query(f"SELECT * FROM {table}") for table in ("t", "c")]
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement], 400)
    assert [database.query(f"SELECT * FROM {table}") for table in ("t", "c")] == before


def test_what_means_the_same_everywhere_goes_on(engine: PostgresqlEngine, database: Database) -> None:
    run(engine, TABLE, 300)
    run(
        engine,
        [
            "UPDATE t SET x = n, f = n * 0.5",
            "UPDATE c SET c = 'cd' WHERE c = 'ab' AND c IN ('ab', 'x')",
            "UPDATE c SET d = '2024-1-2', ts = '2024-01-02T03:04:05'",
            "UPDATE c SET ts = 'January 2, 2024', tz = 'Jan 2 2024 03:04 UTC', ds = '{2024-01-02}'",
            "UPDATE one SET x = '01/02/03' WHERE k = 1",
        ],
        400,
    )
    assert database.query("SELECT x, f FROM t ORDER BY id") == [("1", 0.5), ("2", 1.0)]
    assert database.query("SELECT c, d::text, ts::text, tz::text FROM c") == [
        ("cd  ", "2024-01-02", "2024-01-02 00:00:00", "2024-01-02 03:04:00+00")
    ]
    assert database.query("SELECT x FROM one WHERE k = 1") == [("01/02/03",)]
    # The setting is as it was: a day is looked at in each order and run in one.
    assert engine._server.connection().execute("SHOW datestyle").fetchone() == ("ISO, YMD",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("'2024-01-02 03:04:05.678+02'", False),
        ("'2024-1-2'", False),
        ("'20240102'", False),
        ("'a text'", False),
        ("12", False),
        ("'01/02/03'", True),
        ("'[2024-01-02,3.4.2024)'", True),
        ("'2 Mar 99'", True),
    ],
)
def test_texts_that_may_be_another_day(text: str, found: bool) -> None:
    assert may_be_other_day(tokens_of(f"INSERT INTO t VALUES ({text})")) is found

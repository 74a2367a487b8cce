"""What databases do in different ways: it stops by name, and what they all do alike goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.postgresql.statement_meanings import tokens_of
from spgrepl.errors import StatementRefused
from spgrepl.postgresql.reading.disputed import unsure_time
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run, with_tables

TABLES = (
    "CREATE TABLE t (id INT PRIMARY KEY, i INT, n NUMERIC(8,2), f FLOAT8, r REAL, x TEXT, o BOOL, d DATE, "
    "ts TIMESTAMP, tz TIMESTAMPTZ, iv INTERVAL, a INT[], j JSONB, tm TIME)",
    "INSERT INTO t VALUES (1, -7, 1.25, 0.5, 0.25, 'abc', TRUE, '2024-01-31', '2024-01-31 10:00', "
    "'2024-01-31 10:00+00', '1 day', '{1,2}', '{\"b\": 1, \"a\": 2}', '10:00')",
)


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    with with_tables(database, tmp_path / "received", TABLES) as made:
        yield made


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE t SET i = GREATEST(1, NULL, i)", "GREATEST and LEAST leave NULL out"),
        ("UPDATE t SET n = LEAST(n, 1)", "GREATEST and LEAST leave NULL out"),
        ("UPDATE t SET ts = tz AT TIME ZONE 'Europe/Berlin'", "the rules of a time zone"),
        ("UPDATE t SET tz = ts AT TIME ZONE '+02'", "the rules of a time zone"),
        ("UPDATE t SET ts = timezone(x, tz)", "the rules of a time zone"),
        (
            "UPDATE t SET tz = '2024-07-01 10:00 Europe/Berlin'",
            "the rules of the time zone in '2024-07-01 10:00 Eur",
        ),
        ("UPDATE t SET tz = '2024-07-01 10:00 CEST'", "the rules of the time zone"),
        ("DELETE FROM t WHERE tz < TIMESTAMPTZ '2024-07-01 10:00 EST'", "the rules of the time zone"),
        ("UPDATE t SET n = n / 3", r"how many digits numeric_div\(\) of NUMERIC keeps"),
        ("UPDATE t SET f = 1.0 / 3", r"how many digits numeric_div\(\)"),
        ("UPDATE t SET n = (SELECT avg(i) FROM t)", r"how many digits avg\(\)"),
        ("UPDATE t SET n = sqrt(n)", r"how many digits sqrt\(\)"),
        ("UPDATE t SET x = to_char(ts, 'Mon')", r"to_char\(\) reads and writes by patterns"),
        ("UPDATE t SET d = to_date(x, 'DD/MM/YYYY')", r"to_date\(\) reads and writes by patterns"),
        ("UPDATE t SET x = concat(x, i, NULL, o)", r"concat\(\) takes NULL for an empty text"),
        ("UPDATE t SET x = format('%s', i)", r"format\(\) writes values as texts"),
        ("UPDATE t SET x = initcap(x)", r"initcap\(\) begins words"),
        ("UPDATE t SET i = ascii(x)", r"ascii\(\) is the number of a letter"),
        ("UPDATE t SET x = substr(x, 0, 2)", r"substr\(\) with a number below 1"),
        ("UPDATE t SET x = substring(x FROM -1 FOR 3)", r"substring\(\) with a number below 1"),
        ("UPDATE t SET x = left(x, i)", r"left\(\) with a number below 0, or of a row"),
        ("UPDATE t SET x = trim(BOTH 'ab' FROM x)", r"btrim\(\) of several letters"),
        ("UPDATE t SET x = regexp_replace(x, 'b', '')", r"regexp_replace\(\) takes what the patterns"),
        ("UPDATE t SET x = substring(x FROM 'b|bc')", r"substring\(\) takes what the patterns"),
        ("UPDATE t SET i = 5 WHERE x SIMILAR TO '(a|b)%'", "of this server"),
        ("UPDATE t SET x = x || 1.50", "how the master writes a number with a fraction"),
        ("UPDATE t SET x = j", "how the master writes a JSONB as a text|is of type text but expression"),
        ("UPDATE t SET x = j::text", "how the master writes a JSONB as a text"),
        ("UPDATE t SET x = x || j", "how the master writes a JSONB as a text"),
        ("UPDATE t SET i = 5 WHERE r = 0.1", "how a REAL and a FLOAT are compared"),
        ("UPDATE t SET i = 5 WHERE f > r", "how a REAL and a FLOAT are compared"),
        ("UPDATE t SET a[5] = 5", "what else an array holds when one of its elements is set"),
        ("UPDATE t SET iv = age(ts, '2023-03-15')", r"age\(\) counts months"),
        ("UPDATE t SET iv = iv * 1.5", r"interval_mul\(\) spreads fractions"),
        ("UPDATE t SET iv = '1.5 months'", "what the master makes of the fractions in '1.5 months'"),
        ("INSERT INTO t (id, d) VALUES (2, 'today')", "'today' has another value here than it had on the master"),
        ("INSERT INTO t (id, x, ts) VALUES (2, 'now', ' NOW ')", "' NOW ' has another value here"),
        ("UPDATE t SET ts = 'tomorrow 10:00'", "'tomorrow 10:00' has another value here"),
        ("UPDATE t SET tm = 'now'", "'now' has another value here"),
        ("DELETE FROM t WHERE d < 'yesterday'", "'yesterday' has another value here"),
        ("CREATE TABLE u (id INT, d DATE DEFAULT 'today')", "'today' is the time at which that ran at the master"),
        ("ALTER TABLE t ALTER d SET DEFAULT 'today'::date", "'today' is the time at which that ran"),
        ("UPDATE t SET i = 5 WHERE iv = '1 mon'", "how many days a month has"),
        ("UPDATE t SET x = iv::text", "how the master writes a value of this type as a text"),
        ("UPDATE t SET x = a::text", "how the master writes a value of this type as a text"),
        ("UPDATE t SET x = t::text", "how the master writes a value of this type as a text"),
        ("UPDATE t SET x = (ROW(i, x))::text", "how the master writes a value of this type as a text"),
        ("UPDATE t SET x = array_to_string(ARRAY[TRUE], ',')", "how the master writes the elements of an array"),
        ("UPDATE t SET x = to_hex(i)", r"to_hex\(\) has as many digits"),
        ("UPDATE t SET i = i << 2", r"int4shl\(\) loses bits"),
        ("UPDATE t SET i = 5 WHERE x ~ 'a.c'", r"textregexeq\(\) takes what the patterns"),
        ("UPDATE t SET i = 5 WHERE x ~ '(?i)ABC'", r"textregexeq\(\) takes what the patterns"),
        ("UPDATE t SET i = 5 WHERE x ~ x", r"textregexeq\(\) takes what the patterns"),
        ("UPDATE t SET a = '[0:1]={1,2}'", r"what the master makes of the bounds in '\[0:1\]"),
        (
            "WITH q AS (UPDATE t SET i = 1 RETURNING id) UPDATE t SET n = 2 FROM q WHERE q.id = t.id",
            "a row that two parts of one statement change",
        ),
        ("UPDATE t SET iv = ts - TIMESTAMP '2024-01-01'", r"timestamp_mi\(\) counts days"),
        ("UPDATE t SET iv = justify_days(iv)", r"justify_days\(\) counts days"),
        ("UPDATE t SET x = json_build_object('a', i)::text", r"json_build_object\(\) makes a text of JSON"),
        ("UPDATE t SET x = (SELECT row_to_json(t)::text FROM t)", r"row_to_json\(\) makes a text"),
        ("UPDATE t SET x = jsonb_pretty(j)", r"jsonb_pretty\(\) writes JSON in lines"),
        ("UPDATE t SET x = encode('a', 'base64')", r"encode\(\) cuts lines"),
        ("UPDATE t SET tm = '10:00:00.1234567'", "has more digits than a microsecond"),
        ("UPDATE t SET ts = '2024-01-01 00:00:00.1234567'", "has more digits than a microsecond"),
    ],
)
def test_it_stops_by_name(statement: str, said: str, engine: PostgresqlEngine, database: Database) -> None:
    before = database.query("SELECT * FROM t")
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement], 300)
    assert database.query("SELECT * FROM t") == before


def test_what_all_do_alike_goes_on(engine: PostgresqlEngine, database: Database) -> None:
    run(
        engine,
        [
            "UPDATE t SET ts = tz AT TIME ZONE 'UTC', tz = '2024-07-01 10:00:00.123456 UTC', tm = '10:00'",
            "UPDATE t SET tz = '2024-07-01T10:00:00Z' WHERE tz > 'Mon Jan 1 10:00:00 2024 UTC'",
            "UPDATE t SET i = i / 2, n = n * 1.005, f = f + 0.5",
            "UPDATE t SET x = substr(x, 1, 2) || left('abc', 2) || trim(' b ') || trim(BOTH 'a' FROM 'aba')",
            "UPDATE t SET j = jsonb_build_object('b', 1, 'a', 2), x = 'abc' WHERE encode('a', 'hex') = '61'",
            "UPDATE t SET x = 'today' WHERE x <> 'call me tomorrow 10:00' AND d > '2024-01-01'",
            "UPDATE t SET x = 'now' || i || o || d || ts || array_to_string(a, ',') WHERE x ~* '^to(day|night)$'",
            "UPDATE t SET iv = iv + INTERVAL '1 year 2 mons 3.5 secs', d = d + 1",
            "UPDATE t SET i = (a)[1], a = a || 3, j = j || '{\"c\": 1}' WHERE j @> '{\"a\": 2}'",
            "UPDATE t SET x = x || i || 'at 10:00 Foo' WHERE r = 0.25::real AND x ~ '^[a-n]'",
        ],
        300,
    )
    assert database.query("SELECT i, n::text, x, d::text, a FROM t") == [
        (1, "1.26", "now-3true2024-01-312024-01-31 10:00:001,21at 10:00 Foo", "2024-02-01", [1, 2, 3])
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("'2024-01-02 03:04:05 Asia/Tokyo'", True),
        ("'2024-01-02 03:04:05 EST5EDT'", True),
        ("'Jan 2 2024 03:04 PM +02'", False),
        ("'2024-01-02 03:04:05.678901+02'", False),
        ("'a text'", False),
        ("'2 days 03:04'", False),
    ],
)
def test_zones_in_constants(text: str, found: bool) -> None:
    said = unsure_time(tokens_of(f"UPDATE t SET tz = {text}"), moments="days" not in text, spans=True)
    assert (said is not None) is found

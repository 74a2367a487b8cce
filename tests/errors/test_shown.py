"""What of a statement may be shown: no password of a client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import ReplayStopped
from spgrepl.errors.shown import handed_sql, shown_bytes, shown_connection, shown_sql

SECRET = "s3cr3t word"

STATEMENTS = [
    f"CREATE USER bob WITH PASSWORD '{SECRET}'",
    f"create role bob login encrypted password '{SECRET}' valid until 'infinity'",
    f"ALTER USER bob PASSWORD E'{SECRET}\\'x'",
    f"ALTER ROLE bob WITH PASSWORD $${SECRET}$$",
    f"ALTER ROLE bob WITH PASSWORD $tag${SECRET}$tag$",
    f"/* by hand */ CREATE USER bob PASSWORD '{SECRET}'",
    f"-- PASSWORD 'none'\nCREATE USER bob PASSWORD '{SECRET}'",
    f"CREATE USER bob PASSWORD '{SECRET}",
    f"CREATE USER bob PASSWORD '{SECRET}''{SECRET}'",
    f"CREATE USER 'bob'@'%' IDENTIFIED BY '{SECRET}'",
    f'CREATE USER bob IDENTIFIED WITH plugin BY "{SECRET}"',
    f"GRANT ALL ON *.* TO 'bob'@'%' IDENTIFIED BY '{SECRET}'",
    f"SET PASSWORD FOR bob = '{SECRET}'",
    f"CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'bob', password '{SECRET}')",
    f"CREATE SUBSCRIPTION s CONNECTION 'host=h port=1 password=''{SECRET}''' PUBLICATION p",
    f"ALTER SUBSCRIPTION s CONNECTION 'host=h password = \"{SECRET}\" port=1'",
    f"CREATE SUBSCRIPTION s CONNECTION 'postgresql://bob:{SECRET.replace(' ', '%20')}@h:1/d' PUBLICATION p",
    f"ALTER SYSTEM SET primary_conninfo = 'host=h password=''{SECRET}'' port=1'",
    f"INSERT INTO t VALUES (1); CREATE USER bob PASSWORD '{SECRET}'",
    f"CREATE USER \"pass'word\" PASSWORD '{SECRET}'",
    f"DO $$ BEGIN CREATE USER bob PASSWORD '{SECRET}'; END $$",
    f"SELECT set_config('app.password', '{SECRET}', false)",
    f"EXECUTE p('password', '{SECRET}')",
    f"SELECT dblink_exec('host=h password=''{SECRET}'' port=1', 'DELETE FROM t')",
    f"SELECT * FROM dblink('postgresql://bob:{SECRET.replace(' ', '%20')}@h:1/d', 'SELECT 1') AS t (a INT)",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_password_is_not_shown(statement: str) -> None:
    for shown in (shown_sql(statement), shown_bytes(statement.encode()).decode(), handed_sql(statement)):
        assert "s3cr3t" not in shown
        assert "***" in shown
        # What it is about can still be read.
        assert shown.split()[0] == statement.split(maxsplit=1)[0]


def test_an_error_holds_none() -> None:
    error = ReplayStopped(5, 7, STATEMENTS[0], "no such thing")
    assert "s3cr3t" not in str(error)
    assert "s3cr3t" not in error.sql
    assert "s3cr3t" not in repr(error)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users (name, password) VALUES ('bob', 'hash')",
        "UPDATE users SET password = 'hash' WHERE id = 1",
        "DELETE FROM secrets WHERE url = 'http://a'",
        "CREATE TABLE t (a TEXT DEFAULT 'x')",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h port=1' PUBLICATION p",
        "SELECT 'password'",
        "SELECT set_config('application_name', 'x', false)",
    ],
)
def test_rows_and_everything_else_are_shown_as_they_are(statement: str) -> None:
    assert shown_sql(statement) == statement
    assert shown_bytes(statement.encode()) is not None


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE users (name TEXT, password TEXT DEFAULT 'none')",
        "/* x */ create temp table u (passwd text default 'a;b')",
        "ALTER TABLE users ADD COLUMN secret TEXT DEFAULT 'none'",
        "CREATE OR REPLACE VIEW v AS SELECT password, 'x' FROM users;",
        "CREATE UNIQUE INDEX i ON users (password) WHERE secret <> 'x'",
        "INSERT INTO t VALUES ('create user bob password ''x''', 'grant')",
        "SELECT name, 'x' AS password INTO t FROM users WHERE password <> 'y'",
        "INSERT INTO t VALUES ($$a;b$$, 'create user bob password ''x''') -- it's; so\n;",
    ],
)
def test_a_program_gets_statements_on_tables_as_they_are(statement: str) -> None:
    assert handed_sql(statement) == statement


@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO t VALUES ('a\\'); CREATE USER b PASSWORD '{SECRET}'",
        f"INSERT INTO t VALUES (E'a\\''); CREATE USER b PASSWORD '{SECRET}'",
        f"CREATE TABLE t (a); -- it's\nCREATE USER b PASSWORD '{SECRET}'",
        f"CREATE TABLE t (a) /* ' */; ALTER USER b PASSWORD '{SECRET}'",
        f"CREATE FOREIGN TABLE t (a INT) SERVER s OPTIONS (password '{SECRET}')",
    ],
)
def test_a_program_gets_no_password_behind_a_table(statement: str) -> None:
    assert "s3cr3t" not in handed_sql(statement)


def test_connection_strings() -> None:
    assert shown_connection("host=h port=1 password=x") == "host=h port=1 password=***"
    assert shown_connection("password='a b' host=h") == "password=*** host=h"
    assert shown_connection("sslpassword=x,y host=h") == "sslpassword=*** host=h"
    assert (
        shown_connection("postgres://u:p@h:5432/d?sslmode=x&password=q")
        == "postgres://u:***@h:5432/d?sslmode=x&password=***"
    )
    assert shown_connection("host=h port=1") == "host=h port=1"


def test_strings_in_strings_without_an_end() -> None:
    nested = "".join(f"$a{number}$" for number in range(3000))
    assert "s3cr3t" not in shown_sql(f"DO {nested} CREATE USER bob PASSWORD '{SECRET}'")


@pytest.mark.parametrize(
    "statement",
    [
        f"-- it's by hand\nCREATE USER bob PASSWORD '{SECRET}'",
        f"/* it's */ CREATE USER bob PASSWORD '{SECRET}'",
        f"COMMENT ON ROLE bob IS 'a\\'; ALTER USER bob PASSWORD '{SECRET}'",
        f"CREATE USER bob IDENTIFIED BY 'a\\'{SECRET}'",
    ],
)
def test_quotes_in_comments_and_behind_backslashes_hide_no_password(statement: str) -> None:
    assert "s3cr3t" not in shown_sql(statement)


@given(st.text(), st.sampled_from(STATEMENTS))
def test_any_text_is_shown_somehow(text: str, statement: str) -> None:
    shown_sql(text)
    shown_connection(text)
    assert "s3cr3t" not in shown_sql(f"{statement}; {text}")
    handed_sql(text)
    assert "s3cr3t" not in handed_sql(f"{statement}; {text}")
    shown_bytes(text.encode("utf-8", "surrogatepass") + b"\xff PASSWORD 'x'")

"""A PostgreSQL for the tests of this folder, and an empty database for each."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from tests.postgresql.server import PostgresServer, made_server

pytest.importorskip("psycopg")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with made_server() as server:
        yield server.start()


EMPTIED = """DO $$
DECLARE one name;
BEGIN
    FOR one IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP EXECUTE format('DROP SCHEMA %I CASCADE', one);
    END LOOP;
END $$"""
"""Drops every schema, whoever made it, and all that is in it."""


@attrs.frozen
class Database:
    """An empty database."""

    server: PostgresServer
    name: str
    url: str

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        return self.server.query(self.name, sql, *values)


@pytest.fixture(scope="session")
def shared(postgres: PostgresServer) -> Database:
    return Database(postgres, "tests", postgres.new_database("tests"))


@pytest.fixture
def database(shared: Database) -> Database:
    """A database that is empty: to make one takes ten times as long as to empty it."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    shared.query(query, shared.name)
    shared.query(EMPTIED)
    shared.query("CREATE SCHEMA public")
    return shared

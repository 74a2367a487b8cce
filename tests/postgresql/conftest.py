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
    shared.query("DROP SCHEMA IF EXISTS public, spgrepl CASCADE")
    shared.query("CREATE SCHEMA public")
    return shared

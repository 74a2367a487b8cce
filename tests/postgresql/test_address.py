"""Connection strings of libpq: read, and shown without what is secret."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.errors import UsageError
from spgrepl.postgresql.address import ServerAddress, names_server, shown_engine
from spgrepl.postgresql.session import Session
from tests.end_to_end.conftest import free_port
from tests.postgresql.server import PostgresServer, made_server

__all__ = ["free_port"]


@pytest.mark.parametrize(
    ("text", "shown", "secrets"),
    [
        ("host=/tmp user=a  dbname=x", "host=/tmp user=a dbname=x", ()),
        (" host = h password = secret ", "host=h", ("secret",)),
        (r"password='ge heim\'s' dbname=d", "dbname=d", (r"'ge heim\'s'", "ge heim's")),
        (r"password=a\ b host=h", "host=h", (r"a\ b", "a b")),
        ("PASSWORD=secret sslpassword=other", "", ("secret", "other")),
        ("service=reports", "service=reports", ()),
        (
            "postgresql://u:se%20cret@h/d?sslpassword=o&x=y",
            "postgresql://u@h/d?x=y",
            ("se%20cret", "se cret", "o"),
        ),
    ],
)
def test_what_is_secret_is_known_and_not_shown(text: str, shown: str, secrets: tuple[str, ...]) -> None:
    address = ServerAddress.parse(text)
    assert address.shown == shown
    assert set(address.secrets) == set(secrets)
    assert names_server(text)
    assert address.clean("; ".join(secrets)).strip("; …") == ""


@pytest.mark.parametrize(
    "text",
    [
        "host='x secret",
        "host=h secret",
        "=secret",
        "dbname=postgresql://u:secret@h/d",
        r"password=secret\ ".strip(),
    ],
)
def test_what_cannot_be_read_is_not_quoted(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ServerAddress.parse(text)
    assert "secret" not in str(caught.value)
    assert "secret" not in shown_engine(text)


def test_another_kind_of_server_is_named_without_the_rest() -> None:
    assert shown_engine("mysql://u:secret@h/d?a=b") == "'mysql://…'"
    assert not names_server("mysql://u:secret@h/d?a=b")
    assert shown_engine("sqlite") == "'sqlite'"


# -- forms of libpq ---------------------------------------------------------------------------------------------


@pytest.fixture
def server(free_port: int) -> Iterator[PostgresServer]:
    """One that is reached by a socket, and over TCP."""
    with made_server(listen_addresses="127.0.0.1", port=str(free_port)) as made:
        yield made.start()


SERVICES = """
[local]
host={folder}
port={port}
user=spg
dbname=my db
[tcp]
host=127.0.0.1
port={port}
user=spg
dbname=postgres
keepalives_idle=77
application_name=of the file
"""
LOCAL = {"PGHOST": "{folder}", "PGPORT": "{port}", "PGUSER": "spg"}
FILE = {"PGSERVICEFILE": "{services}"}
FORMS: list[tuple[str, dict[str, str], tuple[str, str, int | None]]] = [
    ("postgresql://spg@/my%20db?host={folder}&port={port}", {}, ("my db", "usual", None)),
    ("postgres://spg@{encoded}:{port}/my%20db", {}, ("my db", "usual", None)),
    ("postgresql://spg@127.0.0.1:1,127.0.0.1:{port}/postgres", {}, ("postgres", "usual", 30)),
    ("postgresql://spg@127.0.0.1:{port}/postgres?application_name=mine", {}, ("postgres", "mine", 30)),
    ("postgresql://spg@127.0.0.1:{port}/postgres?keepalives_idle=9", {}, ("postgres", "usual", 9)),
    ("postgresql://", {**LOCAL, "PGDATABASE": "my db"}, ("my db", "usual", None)),
    ("postgresql:///postgres", {**LOCAL, "PGAPPNAME": "of the shell"}, ("postgres", "of the shell", None)),
    ("postgresql:///?service=tcp", FILE, ("postgres", "of the file", 77)),
    ("service=local", FILE, ("my db", "usual", None)),
    ("postgresql://", {**FILE, "PGSERVICE": "tcp"}, ("postgres", "of the file", 77)),
    ("host={folder} port={port} user=spg dbname='my db'", {}, ("my db", "usual", None)),
    (
        "host=nowhere.invalid hostaddr=127.0.0.1 port={port} user=spg dbname=postgres sslmode=prefer",
        {
            "PGOPTIONS": "-c statement_timeout=1ms -c default_transaction_read_only=on",
            "PGCLIENTENCODING": "LATIN1",
        },
        ("postgres", "usual", 30),
    ),
]


def test_every_form_of_libpq_names_the_server_it_names(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it, a service file or the environment says holds; only where nobody says anything, ours does."""
    server.query("postgres", 'CREATE DATABASE "my db"')
    words = {
        "folder": str(server.folder),
        "encoded": str(server.folder).replace("/", "%2F"),
        "port": server.port,
        "services": str(tmp_path / "services"),
    }
    (tmp_path / "services").write_text(SERVICES.format(**words))
    for form, variables, (database, name, idle) in FORMS:
        with monkeypatch.context() as patch:
            for variable, value in variables.items():
                patch.setenv(variable, value.format(**words))
            assert names_server(form)
            session = Session(ServerAddress.parse(form.format(**words)), "usual")
            connection = session.open()
            query = "SELECT current_database(), current_setting('application_name'), pg_sleep(0.01)::text, 'ä'"
            assert connection.execute(query).fetchone() == (database, name, "", "ä"), form
            with socket.socket(fileno=os.dup(connection.pgconn.socket)) as end:
                local = end.family == socket.AF_UNIX
                assert idle == (None if local else end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)), form
            session.close()

"""All roles by TLS, as real processes; and clients that are not served."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests import sql
from tests.access.authority import Authority
from tests.end_to_end.conftest import Server, Start, until


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "ours")
    made.issue("localhost", "127.0.0.1", file="server")
    made.issue("client")
    return made


def files(authority: Authority, name: str) -> list[str]:
    folder = authority.folder
    return [
        "--tls-cert",
        f"{folder}/{name}.pem",
        "--tls-key",
        f"{folder}/{name}.key",
        "--tls-ca",
        f"{authority.file}",
    ]


def test_all_roles_by_tls(make: Start, ours: Authority, tmp_path: Path) -> None:
    """A master that other machines can reach, a follower that is followed, and a subscriber."""
    required = [*files(ours, "server"), "--tls-require-client-cert"]
    master = make("master", "master", "--listen", "0.0.0.0:0", "--wal-level", "logical", *required).start()
    master.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t")
    address = f"localhost:{master.port()}"
    middle = make("middle", "follower", "--master", address, "--listen", "127.0.0.1:0", *required).start()
    last = make("last", "follower", "--master", f"127.0.0.1:{middle.port()}", *files(ours, "client")).start()
    wanted = ["--name", "s", "--publication", "p", "--master", address]
    subscriber = make("subscriber", "subscriber", *wanted, *files(ours, "client")).start()

    theirs = Authority(tmp_path / "theirs")
    theirs.issue("client")
    ours.issue("old", expired=True)
    refused = {
        "certificate required": ["--tls-ca", str(ours.file)],
        "certificate expired": files(ours, "old"),
        "unknown ca": [*files(theirs, "client")[:4], "--tls-ca", str(ours.file)],
    }
    strangers = [
        (reason, make(f"stranger{at}", "follower", "--master", address, *words).start())
        for at, (reason, words) in enumerate(refused.items())
    ]

    position = master.execute("INSERT INTO t VALUES (1), (2)")
    middle.wait(position)
    middle.same_as(master)
    subscriber.wait(position)
    until(lambda: last.status()["positions"]["applied"] == position - middle.status()["base"], last.status)
    last.same_as(master)
    for reason, stranger in strangers:
        until(lambda: reason in str(stranger.status()["error"]), stranger.status)  # noqa: B023
        assert "no connection by TLS with the master" in stranger.status()["error"]
        assert stranger.applied() is None
    assert master.status()["refused"]["tls_failed"] >= 3
    renewed(master, ours, address, make)


def renewed(master: Server, ours: Authority, address: str, make: Start) -> None:
    """The certificate of the master is renewed: its streams go on, a new client meets the new one."""
    peers = len(master.status()["peers"])
    ours.issue("localhost", file="server")
    late = make("late", "follower", "--master", address, *files(ours, "client")).start()
    late.wait(master.execute("INSERT INTO t VALUES (3)"))
    assert master.status()["tls"]["reloads"] == 1
    assert len(master.status()["peers"]) >= peers + 1
    late.same_as(master)


def test_a_master_that_anybody_can_reach_does_not_start(make: Start) -> None:
    server = make("master", "master", "--listen", "0.0.0.0:0")
    server.launch()
    assert server.exit_code() == 78
    assert server.output().startswith(
        "twistd spgrepl master: other machines can connect to 0.0.0.0:0, and whoever"
    )
    assert server.output().count("\n") == 1
    assert not server.database.exists()


def test_a_key_that_is_not_there_is_a_usage_error_in_one_line(make: Start, tmp_path: Path) -> None:
    server = make("master", "master", "--listen", "127.0.0.1:0", "--tls-cert", tmp_path / "none.pem")
    server.launch()
    assert server.exit_code() == 64
    assert server.output() == (
        f"twistd spgrepl master: {tmp_path}/none.pem cannot be read: No such file or directory\n"
    )


def test_a_table_says_who_may_do_what(make: Start, ours: Authority, tmp_path: Path) -> None:
    """A client may have a publication, and neither the whole database nor another publication."""
    table = tmp_path / "access.toml"
    table.write_text('[[client]]\ncertificate = "client"\nmay = ["p"]\n')
    master = make(
        "master", "master", "--listen", "127.0.0.1:0", "--wal-level", "logical", "--access", table,
        *files(ours, "server"), "--tls-require-client-cert",
    ).start()  # fmt: skip
    master.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t")
    there = ["--master", f"localhost:{master.port()}", *files(ours, "client")]
    begun = make("begun", "subscriber", "--name", "s", "--publication", "p", "--no-copy-data", *there)
    with closing(sql.connect(begun.database)) as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    begun.start()
    copying = make("copying", "subscriber", "--name", "s", "--publication", "p", *there).start()
    make("other", "subscriber", "--name", "s", "--publication", "q", "--no-copy-data", *there).start()
    until(lambda: begun.status()["state"] == "streaming", begun.status)
    begun.wait(master.execute("INSERT INTO t VALUES (1)"))
    until(
        lambda: "not be allowed to have more than publications" in str(copying.status()["error"]), copying.status
    )
    assert "--no-copy-data" in copying.status()["error"]

    def counted() -> bool:
        refused = master.status()["refused"]
        return {"copy_not_allowed", "publication_not_allowed"} <= set(refused)

    until(counted, master.status)
    assert "it can subscribe without the rows that are there, with --no-copy-data" in master.output()
    assert "may have the publications p, but asks for q too" in master.output()
    assert master.status()["peers"][0]["certificate"] == "client"

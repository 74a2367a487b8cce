"""A subscriber and a follower into PostgreSQL, while everything is killed: in the end the tables are equal.

The subscriber is killed with SIGKILL, its sessions are terminated, the server is restarted, fast and immediately.
Two kills, terminations and restarts of each kind by default; ``SPGREPL_KILLS=100`` makes a campaign of it with 100
kills, 50 terminations and 10 restarts, ``SPGREPL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from spgrepl.cli.parts.exec_plan import plan
from spgrepl.comparing.ends import SqliteEnd
from spgrepl.comparing.pinned import compare_now
from spgrepl.comparing.server_end import ServerEnd
from spgrepl.disk.files import DatabasePaths
from spgrepl.postgresql.address import ServerAddress
from spgrepl.primary.writing.writer import DatabaseWriter, Written
from tests.end_to_end.conftest import Server, until
from tests.postgresql.conftest import Database
from tests.postgresql.pair import copying
from tests.postgresql.server import PostgresServer, made_server
from tests.postgresql.test_subscriber import TABLES, values

KILLS = int(os.environ.get("SPGREPL_KILLS", "20"))
SEED = os.environ.get("SPGREPL_SEED", "1")
ROWS, CHANGES = (200_000, 100_000) if KILLS >= 100 else (3_000, 2_000)

MORE_TABLES = (
    "CREATE TABLE wide (id INTEGER PRIMARY KEY, a TEXT, b INTEGER, c REAL, d BLOB, e BOOLEAN, f DATETIME, "
    "g NUMERIC)",
    "CREATE TABLE uniques (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE, n INTEGER)",
)


class Writing:
    """Writes to a master's database as ``spgrepl exec`` does, without a process for it."""

    def __init__(self, server: Server) -> None:
        self._writer = DatabaseWriter(DatabasePaths.of(server.database))
        self._writer.open()

    def run(self, statements: list[str]) -> int:
        requests = [step.request for step in plan(statements) if step.request is not None]
        answers = self._writer.run(requests)
        assert all(isinstance(answer, Written) for answer in answers), answers
        return max((answer.position for answer in answers if isinstance(answer, Written)), default=0)

    def close(self) -> None:
        self._writer.close()


def rows(count: int) -> list[str]:
    """Statements that make so many rows, of all types, in six tables."""
    number = f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count // 6}) "
    return [
        f"{number} INSERT INTO wide SELECT n, 'text ' || n, n * 7919, n / 7.0, CASE n % 3 WHEN 0 THEN NULL ELSE "
        f"x'00ff' END, n % 2, datetime(n, 'unixepoch'), n * 0.25 FROM c",
        f"{number} INSERT INTO uniques (u, n) SELECT 'u' || n, n FROM c",
        f"{number} INSERT INTO plain SELECT n + 1000, 'tab' || char(9) || n, n, n * 1e10, NULL FROM c",
        f"{number} INSERT INTO pairs SELECT 'p' || n, n, n FROM c",
        f"{number} INSERT INTO keyless SELECT 'k' || n, n / 100.0 FROM c",
        f"{number} INSERT INTO \"Odd Name\" SELECT n + 1000, n % 2, 'back\\slash' FROM c",
    ]


def change(chance: random.Random) -> list[str]:
    """Some statements, transactions and rollbacks among them."""
    found = values(chance)
    n = chance.randrange(1, ROWS // 6)
    found += chance.choice(
        [
            [f"UPDATE wide SET b = b + 1, f = NULL WHERE id BETWEEN {n} AND {n + 30}"],
            ["BEGIN", f"UPDATE OR IGNORE uniques SET u = u || '+' WHERE id % 900 = {n % 900}", "COMMIT"],
            ["BEGIN", f"DELETE FROM wide WHERE id % 10 = {n % 10}", "ROLLBACK"],
            [f"DELETE FROM wide WHERE id = {n}", f"INSERT OR IGNORE INTO wide (id, a) VALUES ({n}, 'again')"],
            [f"INSERT OR REPLACE INTO uniques (u, n) VALUES ('u{n}', {n})"],
        ]
    )
    return found


class Campaign:
    """A master that is written to, a copy of it in a server, and what happens to both."""

    def __init__(self, folder: Path, role: str, server: PostgresServer) -> None:
        self.chance = random.Random(f"{SEED} {role}")
        self.server = server
        self.database = Database(server, "copy", server.new_database("copy"))
        self.master = Server(folder, "master", "master", "--listen", "tcp:0:interface=127.0.0.1")
        self.writing = Writing(self.master)
        self.position = self.writing.run([*TABLES, *MORE_TABLES])
        self.writing.run(rows(ROWS))
        self.writing.run(["CREATE PUBLICATION p FOR ALL TABLES"])
        self.master.start("--wal-level", "logical")
        words = copying(role, f"127.0.0.1:{self.master.port()}", self.database.url)
        self.copy = Server(folder, role, *words)
        self.copy.start()

    def write(self, count: int) -> None:
        for _ in range(count):
            self.position = max(self.position, self.writing.run(change(self.chance)))

    def kill(self) -> None:
        """SIGKILL at a random moment, while it catches up or begins."""
        self.write(3)
        time.sleep(self.chance.random() * 0.2)  # this is the random moment
        self.copy.kill()
        self.copy.launch()

    def terminate(self) -> None:
        """End its sessions in the server."""
        self.write(3)
        time.sleep(self.chance.random() * 0.1)  # this is the random moment
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'spgrepl %'"
        self.server.query("postgres", query)

    def restart(self, how: signal.Signals) -> None:
        """Restart the server."""
        self.write(3)
        time.sleep(self.chance.random() * 0.1)  # this is the random moment
        self.server.stop(how)
        self.write(2)
        self.server.start()

    def settle(self) -> None:
        def arrived() -> bool:
            if not self.copy.running():
                self.copy.launch()  # somebody else still had its name, or the server was not there
            with suppress(Exception):
                return (self.copy.applied() or 0) >= self.position
            return False

        until(arrived, lambda: self.copy.output()[-3000:])

    def compare(self) -> None:
        with (
            closing(SqliteEnd(self.master.database)) as here,
            closing(ServerEnd(ServerAddress.parse(self.database.url))) as there,
        ):
            found = compare_now(here, there)
        assert found.equal, found.differences
        assert found.tables == 6

    def end(self) -> None:
        self.writing.close()
        for one in (self.copy, self.master):
            one.clean_up()


@pytest.fixture(params=["subscriber", "follower"])
def campaign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Campaign]:
    with made_server() as server:
        made = Campaign(tmp_path, request.param, server.start())
        try:
            yield made
        finally:
            made.end()


def test_whatever_is_killed_the_tables_are_equal(campaign: Campaign) -> None:
    chance = campaign.chance
    deeds: list[Callable[[], None]] = [campaign.kill] * max(2, KILLS)
    deeds = deeds if KILLS >= 100 else deeds[:4]
    deeds += [campaign.terminate] * max(2, len(deeds) // 2)
    for how in (signal.SIGINT, signal.SIGQUIT):
        deeds += [lambda how=how: campaign.restart(how)] * max(1, len(deeds) // 30)
    chance.shuffle(deeds)
    for deed in deeds:
        deed()
        if chance.random() < 0.15:
            campaign.settle()
            campaign.compare()
    done = 3 * len(deeds)
    campaign.write(max(0, CHANGES // 20 - done))
    campaign.settle()
    campaign.compare()
    table = "subscriptions" if "subscriber" in campaign.copy.name else "copies"
    assert campaign.database.query(f"SELECT position FROM spgrepl.{table}") == [(campaign.position,)]
    with suppress(psycopg.Error):
        assert campaign.database.query("SELECT count(*) FROM spgrepl.skipped") == [(0,)]

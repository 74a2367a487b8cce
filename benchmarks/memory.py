"""What a big snapshot adds to a follower's memory, at its highest. The master's side is in `fanout`."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.servers import free_port, server
from spgrepl.interfaces.engine import ReplayState
from spgrepl.sqlite.state import ROLE_PRIMARY, ensure_table, write_state

MEBIBYTES = 1024
LIMIT = 64.0


def measure() -> list[Figure]:
    """A follower starts, finds no master, and then gets a snapshot of 1 GiB."""
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
        folder = Path(name)
        database, port = folder / "big.db", free_port()
        _make_database(database)
        (folder / "big.wal").write_bytes(b"")
        follows = ("--master", f"tcp:127.0.0.1:{port}", "--db", str(folder / "copy.db"))
        serves = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--db", str(database))
        with server(folder, "follower", *follows) as follower:
            follower.wait_until(lambda status: status["state"] == "waiting")
            before = follower.memory("VmRSS")
            with server(folder, "master", *serves):
                follower.wait_until(lambda status: status["state"] == "streaming", 300)
                more = follower.memory("VmHWM") - before
        size = (folder / "copy.db").stat().st_size
        assert size >= MEBIBYTES << 20, f"the copy has {size} bytes only"
    return [
        Figure(
            name=f"memory for a snapshot of {MEBIBYTES} MiB, follower",
            value=round(more, 1),
            unit="MiB more",
            yardstick="limit",
            yardstick_value=LIMIT,
            ratio=round(more / LIMIT, 3),
            target="<= 1",
            note="The highest resident memory until it streams, less the resident memory before it connected.",
        )
    ]


def _make_database(path: Path) -> None:
    """A primary's database with `MEBIBYTES` of rows, at the start of its log."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE t (data BLOB)")
        connection.execute("BEGIN")
        ensure_table(connection)
        write_state(connection, ROLE_PRIMARY, ReplayState(0, 0))
        for _ in range(MEBIBYTES):
            connection.execute("INSERT INTO t VALUES (zeroblob(1048576))")
        connection.execute("COMMIT")

"""The log of a real process: an event a line, as JSON where that is asked for, and without what rows hold."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import apsw

from tests.end_to_end.conftest import Server, Start, make, until

__all__ = ["make"]

LOCAL = "127.0.0.1:0"


class JsonServer(Server):
    """A server that logs in JSON."""

    program = (
        "import sys; from twisted.scripts.twistd import run; "
        "sys.argv[:] = ['twistd', '--logger', 'spgrepl.process.logs.json_log', *sys.argv[1:]]; run()"
    )

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]


def test_an_event_is_a_line_of_json_and_values_are_not_in_it(make: Start, tmp_path: Path) -> None:
    """A copy whose row was taken away refuses the change of it: the status says which, the log does not."""
    master = make("master", "master", "--listen", LOCAL).start()
    position = master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", "INSERT INTO t VALUES (1, 'one')")
    copy = JsonServer(tmp_path, "copy", "follower", "--master", f"127.0.0.1:{master.port()}")
    try:
        copy.start()
        copy.wait(position)
        with contextlib.closing(apsw.Connection(str(copy.database))) as connection:
            connection.set_busy_timeout(10_000)
            connection.execute("DELETE FROM t")
        master.execute("UPDATE t SET b = 'geheim' WHERE a = 1")
        until(lambda: copy.status()["errors"]["by_kind"].get("replay_stopped"), copy.output)
        assert copy.status()["errors"]["last"][0]["record"] == "UPDATE t SET b='geheim' WHERE a=1"
        stopped = until(lambda: [event for event in copy.events() if event.get("kind") == "replay_stopped"])[0]
        assert {name: stopped[name] for name in ("role", "name", "position", "times")} == {
            "role": "follower",
            "name": "data.db",
            "position": position,
            "times": 1,
        }
        assert stopped["peer"].startswith("127.0.0.1:")
        assert "replay stopped" in stopped["reason"]
        assert "geheim" not in copy.output()
        copy.stop()
        copy.start("--log-sql")
        until(lambda: "geheim" in copy.output(), copy.output)
    finally:
        copy.clean_up()

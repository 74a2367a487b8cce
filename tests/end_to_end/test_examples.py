"""The examples do what their texts say."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.conftest import TWISTD, Start, environment, run_command, until

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "notes_server.py"
LOCAL = "tcp:0:interface=127.0.0.1"


def test_a_server_with_a_database_of_its_own_is_followed(make: Start, tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "-y", str(EXAMPLE)]
    settings = {"NOTES_FOLDER": str(tmp_path), "NOTES_WEB": LOCAL, "NOTES_LISTEN": LOCAL}
    log = tmp_path / "output"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment() | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        web = int(until(lambda: re.search(r"Site starting on (\d+)", log.read_text()), log.read_text)[1])
        listen = int(
            until(lambda: re.search(r"serving followers at \S+:(\d+)", log.read_text()), log.read_text)[1]
        )
        connection = http.client.HTTPConnection("127.0.0.1", web, timeout=30)
        connection.request("POST", "/", body="it's milk")
        position = json.loads(connection.getresponse().read())
        connection.request("GET", "/")
        assert json.loads(connection.getresponse().read()) == [[1, "it's milk"]]
        connection.close()
        follower = make("copy", "follower", "--master", f"127.0.0.1:{listen}").start()
        follower.wait(position)
        assert run_command("compare", tmp_path / "notes.db", follower.database).startswith("equal: 1 table, 1 row")
    finally:
        server.terminate()
        server.wait()
    assert "Traceback" not in log.read_text()

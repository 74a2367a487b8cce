"""What the roles of one process say in the log: each line says whose it is, and of whom it speaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.disk.files import DatabasePaths
from spgrepl.log.format.records import encode_v2
from spgrepl.primary import Primary
from tests.server.chain import Chain, chain, grown, with_rows

__all__ = ["chain"]


@pytest.fixture
def events() -> Iterator[list[LogEvent]]:
    found: list[LogEvent] = []
    observer = found.append
    globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]
    yield found
    globalLogPublisher.removeObserver(observer)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_each_line_of_a_connection_has_role_name_peer_position_and_reason(
    chain: Chain, events: list[LogEvent]
) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    copy = await chain.subscriber("copy", "head")
    await grown(primary, copy)
    await chain.stop(copy)
    await chain.stop(relay)
    lines = {formatEvent(event): event for event in events if event["log_namespace"].startswith("spgrepl.")}

    def line(*words: str) -> LogEvent:
        return next(event for text, event in lines.items() if all(word in text for word in words))

    asked = line("master head.db: ", "asks for V2 from position 0")
    assert (asked["role"], asked["name"], asked["position"]) == ("master", "head.db", 0)
    gone = line("master head.db: ", "has gone, position")
    assert gone["peer"] == asked["peer"]
    assert gone["position"] > 0
    assert gone["reason"]
    assert line("master head.db: ", "a snapshot of", "is ready for")["position"] > 0
    assert line("master head.db: serving the log ")["role"] == "master"
    assert line("master head.db: ", "asks for SUB")["peer"]
    assert line("follower relay.db: ", " sends a snapshot of ")["peer"]
    assert line("follower relay.db: ", "is in place, position")["position"] > 0
    assert line("follower relay.db: streaming from ")["role"] == "follower"
    assert line("subscriber copy: ", "the initial copy from ", "is in place")["role"] == "subscriber"
    assert line("subscriber copy: streaming from ")["name"] == "copy"
    assert len(lines) > 20
    assert [text for text, event in lines.items() if not event.get("role")] == []


@pytest_twisted.ensureDeferred
async def test_so_do_the_lines_of_primaries_that_a_program_has_open(
    tmp_path: Path, events: list[LogEvent]
) -> None:
    """Two of them, so that no line is taken for one of the only role of the process."""
    found = []
    for name in ("one", "two"):
        paths = DatabasePaths.of(tmp_path / f"{name}.db")
        primary = Primary(reactor, paths)
        await primary.open()
        await primary.execute("CREATE TABLE t (a)")
        await primary.close()
        with paths.wal.open("ab") as log:
            log.write(encode_v2(b"BEGIN") + encode_v2(b"INSERT INTO t VALUES (1)") + b"torn")
        found.append(primary)
    try:
        for primary in found:
            await primary.open()
            await primary.execute("SET effective_wal_level = 'logical'")
    finally:
        for primary in found:
            await primary.close()
    told = [event for event in events if event["log_namespace"].startswith("spgrepl.")]
    assert [formatEvent(event) for event in told if not event.get("role")] == []
    for name in ("one", "two"):
        own = [formatEvent(event) for event in told if event["name"] == f"{name}.db"]
        assert any("ended an unfinished transaction with ROLLBACK" in text for text in own)
        assert any("effective_wal_level is logical" in text for text in own)
        assert all(text.startswith(f"primary {name}.db: ") for text in own)

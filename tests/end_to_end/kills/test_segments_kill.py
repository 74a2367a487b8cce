"""A follower killed at random moments of a transfer of segments: it ends with equal files and an exact manifest.

Ten kills by default; ``SPGREPL_KILLS=100`` makes a campaign of it, ``SPGREPL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path

from tests.end_to_end.conftest import Server, Start, until
from tests.end_to_end.segments_kit import check_exact, registered, segment_files, write_segments

KILLS = int(os.environ.get("SPGREPL_KILLS", "10"))
SEED = os.environ.get("SPGREPL_SEED", "1")
LOCAL = "127.0.0.1:0"


def bytes_in(database: Path) -> int:
    """How many bytes of segments are in a follower's folder, temporary files included."""
    folder = database.with_suffix(".spg") / "segments"
    total = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # it may just get its own name
            total += path.stat().st_size
    return total


def kill_at(server: Server, threshold: int, delay: float, expected: int) -> None:
    """Kill a follower a moment after so many bytes have come, or when all segments are registered."""
    while bytes_in(server.database) < threshold and len(registered(server.database)) < expected:
        assert server.running(), server.output()
        time.sleep(0.001)
    time.sleep(delay)  # this is the random moment
    server.kill()


def test_segments_survive_kills(make: Start) -> None:
    chance = random.Random(SEED)
    master = make("master", "master", "--listen", LOCAL)
    expected = write_segments(master.database.with_suffix(".spg") / "segments", chance)
    total = sum(map(len, expected.values()))
    master.start()
    master.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    kills = rounds = partial = 0
    while kills < KILLS:
        rounds += 1
        follower = make(f"follower{rounds}", "follower", "--master", f"127.0.0.1:{master.port()}")
        complete: dict[str, tuple[int, int]] = {}
        for kill in range(chance.randint(2, 8)):
            follower.launch()
            # Each time further: what is there already does not come again.
            share = (kill + chance.random()) / 6
            kill_at(follower, int(total * share), chance.random() * 0.02, len(expected))
            kills += 1
            files = segment_files(follower.database)
            now = {name: files[name] for name in (f"seg_{number}.spg" for number in registered(follower.database))}
            # What was complete was not touched.
            assert complete.items() <= now.items()
            partial += any(name.endswith(".incoming") for name in files)
            complete = now
        follower.start()
        wait_for_all(follower, len(expected))
        assert follower.status()["error"] is None
        assert complete.items() <= segment_files(follower.database).items()
        follower.stop()
        check_exact(follower.database, expected)
        assert "Traceback" not in follower.output()
    assert partial >= KILLS // 10


def wait_for_all(follower: Server, count: int) -> None:
    until(lambda: follower.status()["segments"]["registered"] == count, follower.output)
    until(lambda: all_were_offered(follower, count), follower.output)


def all_were_offered(follower: Server, count: int) -> bool:
    """Whether all segments have come since the follower was started: new, or the same again."""
    status = follower.status()["segments"]
    return bool(status["received"] + status["same"] >= count)


def test_an_orphan_is_received_again(make: Start) -> None:
    """Killed between rename and registration: the file is in place, the manifest does not list it."""
    master = make("master", "master", "--listen", LOCAL)
    folder = master.database.with_suffix(".spg") / "segments"
    expected = write_segments(folder, random.Random(7), 5)
    master.start()
    follower = make("follower", "follower", "--master", f"127.0.0.1:{master.port()}").start()
    until(lambda: follower.status()["segments"]["registered"] == 5, follower.output)
    follower.kill()
    before = segment_files(follower.database)
    orphan, *rest = expected
    forget(follower, orphan)
    # A wrong byte shows that it is not trusted, whatever it looks like.
    path = follower.database.with_suffix(".spg") / "segments" / f"seg_{orphan}.spg"
    path.write_bytes(path.read_bytes() + b"!")
    follower.start()
    until(lambda: all_were_offered(follower, 5), follower.output)
    assert follower.status()["segments"]["received"] == 1
    follower.stop()
    check_exact(follower.database, expected)
    after = segment_files(follower.database)
    assert {number for number in expected if before[f"seg_{number}.spg"] == after[f"seg_{number}.spg"]} == set(
        rest
    )


def forget(follower: Server, segment_id: int) -> None:
    """Take a segment out of a follower's manifest."""
    import attrs

    from spgrepl.segments.manifest import read_manifest, write_manifest

    path = follower.database.with_suffix(".spg") / "manifest.v10"
    manifest = read_manifest(path)
    assert manifest is not None
    kept = tuple(one for one in manifest.segments if one.id != segment_id)
    write_manifest(path, attrs.evolve(manifest, segments=kept))

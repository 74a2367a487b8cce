"""A follower and a subscriber that lose power: what they said to have is there, once, and they end equal.

Five moments each by default; ``SPGREPL_KILLS=200`` makes a campaign of it, ``SPGREPL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.power_loss.recording import COMPILER, build_shim, losses, record
from tests.power_loss.source import Source, make, subscription
from tests.replica.following.copies import Copy
from tests.whole.comparing import dump
from tests.whole.nodes import assert_equal

MOMENTS = int(os.environ.get("SPGREPL_KILLS", "5"))
SEED = os.environ.get("SPGREPL_SEED", "1")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the shim needs a C compiler")


def check_follower(folder: Path, source: Source, said: int) -> None:
    """Go on from what is there."""
    copy = Copy(folder).open()
    try:
        state = copy.replay.resume()
        if state is None:
            assert said == 0
            return
        assert state.position >= said
        assert copy.paths.wal.read_bytes() == source.log[state.base : state.position]
        assert copy.replay.apply([source.log[state.position :]]).applied == len(source.log)
        assert_equal(dump(copy.paths.database), dump(source.database))
    finally:
        copy.close()


def check_subscriber(folder: Path, source: Source, said: int) -> None:
    """Go on from what is there."""
    again = folder / "again"
    again.mkdir()
    for path in folder.glob("target.db*"):
        shutil.move(path, again)
    with subscription(again, source, source.log) as rig:
        stored = rig.stored
        assert (stored.position if stored else 0) >= said
        while rig.status["positions"]["applied"] != len(source.log):
            rig.settle(0.1)
            assert rig.status["error"] is None, rig.status
        tables = ["entries", "totals"]
        assert_equal(dump(rig.database, tables), dump(source.database, tables))


@pytest.mark.parametrize("kind", ["follower", "subscriber"])
def test_what_a_copy_has_said_to_have_is_there_once(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "recorded"
    root.mkdir()
    source = make(tmp_path / "source")
    program = Path(__file__).with_name("following.py")
    operations = record(build_shim(tmp_path), root, program, kind, root, tmp_path / "source", SEED)
    check = {"follower": check_follower, "subscriber": check_subscriber}[kind]
    for folder, notes in losses(operations, root, tmp_path, MOMENTS, random.Random(SEED)):
        check(folder, source, int(notes[-1]) if notes else 0)

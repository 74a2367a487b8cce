"""The program that loses power: a follower's copy, or a subscriber's, which notes how far it says that it is.

Run as ``python following.py KIND FOLDER SOURCE SEED``; KIND is ``follower`` or ``subscriber``. The folder SOURCE
is what `source.make` has made. The file ``acknowledged`` in FOLDER has a line for each position that was stated.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

from tests.power_loss.source import Source, subscription
from tests.replica.following.copies import Copy


def size(chance: random.Random) -> int:
    """How many bytes come at once: records and transactions are cut anywhere."""
    return chance.choice([1, 100, 1000, 5000])


def follow(folder: Path, source: Source, chance: random.Random, note: Callable[[int], None]) -> None:
    """Take the snapshot and the log, with a new start now and then."""
    copy = Copy(folder).open()
    at = copy.install(source.snapshot.read_bytes(), source.position).applied
    while at < len(source.log):
        piece = source.log[at : at + size(chance)]
        at += len(piece)
        note(copy.replay.apply([piece]).applied)
        if chance.random() < 0.05:
            copy.close()
            copy = Copy(folder).open()
            state = copy.replay.resume()
            assert state is not None
            at = state.position
    copy.close()


def subscribe(folder: Path, source: Source, chance: random.Random, note: Callable[[int], None]) -> None:
    """Make the initial copy, and take the log."""
    with subscription(folder, source, source.log[: source.position]) as rig:
        at = source.position
        while at < len(source.log):
            piece = source.log[at : at + size(chance)]
            at += len(piece)
            rig.grow(piece)
            rig.settle(0.1)
            note(rig.status["positions"]["applied"] or 0)
            if chance.random() < 0.05:
                rig.stop()
                rig.start("every")
                rig.settle(0.1)


def main() -> None:
    """Run it."""
    kind, folder, source, seed = sys.argv[1], Path(sys.argv[2]), Source.of(Path(sys.argv[3])), sys.argv[4]
    notes = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    run = {"follower": follow, "subscriber": subscribe}[kind]
    run(folder, source, random.Random(seed), lambda position: os.write(notes, b"%d\n" % position) and None)


if __name__ == "__main__":
    main()

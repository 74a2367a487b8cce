"""The program that loses power: a primary into which a subscription brings rows, beside writes of its own.

Run as ``python marking.py FOLDER SEED``. The file ``acknowledged`` in the folder has a line for each group of
requests that was answered: how far the subscription is, and how many rows of its own the primary has.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from spgrepl.disk.files import DatabasePaths
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter

BEGUN = SubscriptionState(("p",), 100, 100)
_GROUPS = 120


def groups(seed: str) -> Iterator[tuple[list[Request], int, int]]:
    """Groups of requests, each with the position of the subscription and the number of own rows after it.

    A row that the subscription brings has its position for an id.
    """
    chance = random.Random(seed)
    state, own = BEGUN, 0
    for _ in range(_GROUPS):
        requests = []
        for _ in range(chance.randint(1, 4)):
            kind = chance.choice(["own", "brought", "brought", "quiet", "undone"])
            if kind == "own":
                own += 1
                requests.append(Request((f"INSERT INTO own VALUES ({own}, random())",)))
            elif kind == "undone":
                # It takes the transaction of the whole group with it, which is begun again.
                requests.append(Request(("INSERT OR ROLLBACK INTO own VALUES (0, 0)",)))
            else:
                before, position = state, state.position + 10
                state = SubscriptionState(("p",), 100, position)
                rows = (f"INSERT INTO brought VALUES ({position})",) if kind == "brought" else ()
                requests.append(Request(rows, True, SubscriptionMark("s", before, state)))
        yield requests, state.position, own


def main() -> None:
    """Run all groups."""
    folder, seed = Path(sys.argv[1]), sys.argv[2]
    notes = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writer = DatabaseWriter(DatabasePaths.of(folder / "primary.db"))
    writer.open()
    tables = (
        "CREATE TABLE brought (id INTEGER PRIMARY KEY)",
        "CREATE TABLE own (id INTEGER PRIMARY KEY, a)",
        "INSERT INTO own VALUES (0, 0)",
    )
    writer.run([Request(tables, True), Request((), True, SubscriptionMark("s", None, BEGUN))])
    for requests, position, own in groups(seed):
        answers = writer.run(requests)
        refused = [one for one in answers if not isinstance(one, Written)]
        assert len(refused) == sum("ROLLBACK" in "".join(one.statements) for one in requests), refused
        os.write(notes, f"{position} {own}\n".encode())
    writer.close()


if __name__ == "__main__":
    main()

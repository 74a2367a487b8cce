"""Record the suites of other projects and replay what they ran: ``python -m tests.recorded_sql [NAME=FOLDER …]``.

Without arguments both suites are fetched from the package index and run, which takes some minutes. ``NAME=FOLDER``
replays what was recorded into a folder before. Ends with an error if a follower differs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.recorded_sql.recording import SUITES, Recorded, read, record
from tests.recorded_sql.replaying import Outcome, replay


def tell(name: str, outcome: Outcome) -> None:
    """Print what came of a recording."""
    print(
        f"{name}: {outcome.databases} databases, {outcome.statements} statements that write; "
        f"{outcome.refused_by_sqlite} are refused by plain SQLite, too, {outcome.refused.total()} by the primary "
        f"alone"
    )
    for reason, count in outcome.refused.most_common():
        print(f"  {count} × {reason}")
    for database, what in outcome.unlike_plain.items():
        print(f"  not as on plain SQLite: {database}: {what}")
    print(f"  followers that differ: {len(outcome.differing)}")
    for database, what in outcome.differing.items():
        print(f"  {database}: {what}")


def main(arguments: list[str]) -> int:
    """Replay what is asked for; returns the exit code."""
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        if arguments:
            given = [argument.partition("=") for argument in arguments]
            recordings: list[tuple[str, Iterable[Recorded]]] = [
                (name, read(Path(path))) for name, _, path in given
            ]
        else:
            recordings = [(name, record(name, Path(folder) / name)) for name in SUITES]
        for name, recording in recordings:
            outcome = replay(recording)
            tell(name, outcome)
            failed = failed or bool(outcome.differing)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What ``spgrepl exec`` does first where a database or its log is lost: ``--new-log`` and ``--rebuild``."""

from __future__ import annotations

import argparse
import sys

from spgrepl.disk.files import DatabasePaths
from spgrepl.primary.writing.repair import begin_new_log, rebuild_database


def repair_files(arguments: argparse.Namespace, paths: DatabasePaths) -> bool:
    """Begin a new log, or make the database from its log, where that was asked for, and say so.

    Returns:
        Whether the database can be written now; a follower's copy cannot.

    Raises:
        LocalError: It cannot be done; nothing was lost.
        OSError: The disk refuses.
    """
    if arguments.new_log:
        begun = begin_new_log(paths)
        print(f"{paths.database} begins a new log" + (f"; the old one is {begun.aside}" if begun.aside else ""))
        return begun.of_primary
    if arguments.rebuild:
        rebuilt = rebuild_database(paths)
        print(f"{paths.database} was made from its log, up to position {rebuilt.position}")
        if rebuilt.subscriptions:
            print(
                f"How far its subscriptions had come is lost ({', '.join(rebuilt.subscriptions)}): they begin at "
                f"their master's end when they are started; drop and fill their tables again where rows may be "
                "missing",
                file=sys.stderr,
            )
    return True

"""Whose a folder of cold segments is: a follower clears and fills its own, and no other.

The folder is named after the database's stem, so `app.db` and `app.copy` would share `app.spg`, and so would a
follower and an SPG server beside it. The file beside the log (`spgrepl.pairs.pair`) says that a follower has
made it.
"""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from spgrepl.disk.files import DatabasePaths, make_private_folder
from spgrepl.errors import LocalFilesDamaged
from spgrepl.pairs.pair import read_pair, write_pair
from spgrepl.segments.format import segment_id_of

_OF_THE_PROCESS = ("log", "pid")
"""What ``twistd`` writes beside a database has such a name, and is not one; its old logs have more after it."""


class SegmentFolderOwner:
    """Knows whether a folder of segments is a follower's own. Blocking; the follower's log is open.

    Args:
        paths: The follower's files.
    """

    def __init__(self, paths: DatabasePaths) -> None:
        self._paths = paths

    def require(self, base: int | None) -> None:
        """See that the folder is this follower's, or nobody's.

        Args:
            base: The position of the copy's snapshot; None where there is no copy.

        Raises:
            LocalFilesDamaged: It is somebody else's; nothing in it was changed.
            OSError: It cannot be read or marked.
        """
        if self._is_own():
            return
        # A copy of an earlier version has a folder, and nothing that says so; and one may put segments there
        # before a follower is started for the first time, so that they need not be sent.
        other = self._other_database()
        if base is None and other is not None and self._holds_segments():
            raise LocalFilesDamaged(
                f"{self._paths.folder} holds cold segments, or their manifest, that were not received here, and "
                f"may be those of {other}: they stay as they are. Name a file with another stem than "
                f"{self._paths.database.stem!r} with --db, or move the folder away"
            )
        if base is not None and self._paths.folder.exists():
            self._claim()

    def make(self, folder: Path) -> None:
        """Make the folder, or one inside it, where it is missing.

        Raises:
            OSError: The disk refuses.
        """
        if folder.is_dir():
            return
        if not self._is_own():
            self._claim()
        for missing in dict.fromkeys((self._paths.folder, folder)):
            make_private_folder(missing)

    def _is_own(self) -> bool:
        pair = read_pair(self._paths.pair)
        return pair is not None and pair.segments

    def _claim(self) -> None:
        pair = read_pair(self._paths.pair)
        if pair is not None:
            write_pair(self._paths.pair, attrs.evolve(pair, segments=True))

    def _other_database(self) -> Path | None:
        """A file that is not of this copy, and whose folder of segments would have the same name."""
        database, own = self._paths.database, (self._paths.database.name, self._paths.wal.name)
        for name in sorted(os.listdir(database.parent)):
            path = database.with_name(name)
            if not name.startswith(f"{database.stem}.") or name.startswith(own):
                continue
            if name[len(database.stem) :].split(".")[1] not in _OF_THE_PROCESS and path.is_file():
                return path
        return None

    def _holds_segments(self) -> bool:
        if self._paths.manifest.exists():
            return True
        try:
            return any(segment_id_of(name) is not None for name in os.listdir(self._paths.segments))
        except FileNotFoundError:
            return False

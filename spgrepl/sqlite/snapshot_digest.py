"""The digest that a snapshot carries of itself, so that a bit that flips on its way is noticed.

A snapshot is a SQLite file; the digest lies in a row of a table of its own, as 64 hexadecimal digits after a mark
that no other content has by chance. It is the SHA-256 of the whole file with zeros in the place of the digits.
Snapshots of earlier versions have none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from spgrepl.errors import SnapshotError
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.text.placing import PlacingStep

_MARK = b"spgrepl snapshot sha-256 4b1d7f0e93a65c28: "
_DIGITS = 64
_ZEROS = b"0" * _DIGITS
_TABLE = "spgrepl_digest"
_PIECE = 4 * 1024 * 1024


def reserve(connection: SqlConnection) -> None:
    """Make room for the digest in a snapshot that is being written; one of the database that it is of goes."""
    drop(connection)
    connection.execute(f"CREATE TABLE {_TABLE} (digest BLOB NOT NULL)")
    connection.execute(f"INSERT INTO {_TABLE} VALUES (?)", (_MARK + _ZEROS,))


def drop(connection: SqlConnection) -> None:
    """Remove the digest: the database is to be changed."""
    connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")


def is_there(connection: SqlConnection) -> bool:
    """Whether a snapshot that is open has a digest."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone())


def seal(path: Path) -> None:
    """Write the digest into a file that nobody has open and that has room for it.

    Raises:
        OSError: The disk refuses.
        SnapshotError: There is no room in it.
    """
    found = _find(path)
    if found is None:
        raise SnapshotError(f"{path} has no room for its digest; it was changed while it was written")
    digest = _digest(path, found)
    with open(path, "r+b") as file:
        file.seek(found)
        file.write(digest)


def check(path: Path) -> bool:
    """Look whether a snapshot is what its digest says.

    Args:
        path: The file.

    Returns:
        Whether it has a digest: the snapshots of earlier versions do not.

    Raises:
        SnapshotError: It is not.
    """
    found = _find(path)
    if found is None:
        return False
    with open(path, "rb") as file:
        file.seek(found)
        stated = file.read(_DIGITS)
    present = _digest(path, found)
    if stated != present:
        raise SnapshotError(
            f"the master's snapshot was damaged on its way: its SHA-256 is {present.decode()}, it states "
            f"{stated.decode('ascii', 'replace')}; it is asked for again"
        )
    return True


def _find(path: Path) -> int | None:
    """Where the digits are: after the last mark, since a dropped table may have left one in a free page."""
    found, start, before = None, 0, b""
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            content = before + piece
            at = content.rfind(_MARK)
            if at >= 0:
                found = start + at + len(_MARK)
            before = content[-(len(_MARK) - 1) :]
            start += len(content) - len(before)
    return found


def _digest(path: Path, hole: int) -> bytes:
    summed = hashlib.sha256()
    comparing = PlacingStep("digest", bytes_total=path.stat().st_size)
    with open(path, "rb") as file:
        left = hole
        while left:
            piece = file.read(min(left, _PIECE))
            summed.update(piece)
            left -= len(piece)
            comparing.tell(bytes=hole - left)
        summed.update(_ZEROS)
        file.seek(hole + _DIGITS)
        while piece := file.read(_PIECE):
            summed.update(piece)
            comparing.tell(bytes=file.tell())
    return summed.hexdigest().encode()

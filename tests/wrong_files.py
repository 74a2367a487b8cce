"""Files that are not what somebody takes them for, and whether they are still as they were."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from spgrepl.disk.files import DatabasePaths
from spgrepl.primary.parts.requests import Request
from spgrepl.primary.writing.writer import DatabaseWriter
from tests.replica.following.copies import database_bytes, log_of, opened

SQLITE = ("customers.db", "linked.db", "twin.db")
"""A database of somebody, by its name, by a symbolic link, and by a hard link."""

SPECIAL = ("folder", "pipe", "/dev/null")

KINDS = (*SQLITE, "diary.txt", "empty", *SPECIAL, "other.wal", "other.db")
"""All of them: `other.wal` and `other.db` belong together, and are somebody else's."""

Looks = dict[str, tuple[object, ...]]


def make_files(folder: Path) -> None:
    """Make all kinds in a folder, a primary's `mine.db` and `mine.wal`, and a follower's copy, `copy.db`."""
    for number, stem in enumerate(("mine", "other")):
        writer = DatabaseWriter(DatabasePaths.of(folder / f"{stem}.db"))
        writer.open()
        for sql in ("CREATE TABLE t (a)", "CREATE PUBLICATION p", f"INSERT INTO t VALUES ({number})"):
            writer.run([Request((sql,))])
        writer.close()
    with opened(folder) as copy:
        copy.install(database_bytes(folder, "CREATE TABLE t (a)"), 40)
        copy.replay.apply([log_of("INSERT INTO t VALUES (1)")])
    with closing(sqlite3.connect(folder / "customers.db")) as connection:
        connection.execute("CREATE TABLE customers (name)")
    (folder / "linked.db").symlink_to("customers.db")
    os.link(folder / "customers.db", folder / "twin.db")
    (folder / "diary.txt").write_text("Dear diary\n")
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".lock":
            path.chmod(0o640)


def looks(folder: Path) -> Looks:
    """What everything in a folder is: inode, mode, and content.

    SQLite's own files beside a database that is only read come and go, and who held a lock last says nothing.
    """
    found: Looks = {}
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(("-wal", "-shm")):
            continue
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) and path.suffix != ".lock" else b""
        found[str(path.relative_to(folder))] = (status.st_ino, oct(status.st_mode), content)
    return found


def names(kind: str, text: str) -> bool:
    """Whether a text names a file; a symbolic link stands for what it points to."""
    return kind in text or (kind == "linked.db" and "customers.db" in text)

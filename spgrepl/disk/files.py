"""Files beside a database: their names, how they are made, and how to replace one so that a crash harms nothing.

Whatever holds data is made here, so that only its owner may read it, whatever the umask. A file that is there
already keeps the mode that it has: an administrator may have given it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from spgrepl.errors import LocalFilesDamaged, UsageError

PRIVATE = 0o600
"""The mode of every file that holds data."""

PRIVATE_FOLDER = 0o700
"""The mode of every folder that is made for such files."""

_SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
_SIDECARS = (
    ".applied_pos",
    ".cluster_id",
    ".lock",
    ".subscriptions",
    ".control",
    ".pair",
    ".durable",
    ".left",
    ".level",
    ".learned",
)
"""What the names of the files beside a log end with; each is a property of `DatabasePaths`."""


@attrs.frozen
class DatabasePaths:
    """The files that belong to one database (PROTOCOL section 6).

    Attributes:
        database: The database itself.
        wal: Its log.
    """

    database: Path
    wal: Path

    @classmethod
    def of(cls, database: str | Path, wal: str | Path | None = None) -> DatabasePaths:
        """Name the files of a database; the log defaults to the database's name with ``.wal``.

        A symbolic link stands for what it points to, so that a database has one log and one lock, whatever the
        name it is opened by.

        Raises:
            UsageError: Two of the files would be one, or SQLite cannot open a file of that name.
        """
        path = _linked(Path(database))
        try:
            log = _linked(Path(wal)) if wal is not None else path.with_suffix(".wal")
        except ValueError as error:
            raise UsageError(f"{database} does not name a file: name the database itself") from error
        require_utf8_name(path)
        paths = cls(path, log)
        paths.require_distinct()
        return paths

    def require_distinct(self) -> None:
        """See that no two of the files are one, by name, by a link or by a mount.

        Raises:
            UsageError: Two are, or one is a device or a pipe.
            LocalFilesDamaged: One is a folder.
        """
        names: set[str] = set()
        inodes: dict[tuple[int, int], str] = {}
        # Each is made absolute once: this is asked often.
        absolute = {path: os.path.abspath(path) for path in (self.database, self.wal, self.folder)}
        for of, suffix in self._all_names():
            path, name = str(of) + suffix, absolute[of] + suffix
            if name in names:
                raise UsageError(
                    f"the database {self.database} and its log {self.wal} would share the file {path}: name "
                    f"another log with --wal"
                )
            names.add(name)
            try:
                found = os.stat(path)
            except OSError:
                continue
            kind = stat.S_IFMT(found.st_mode)
            is_file = not suffix and of != self.folder
            if is_file and kind == stat.S_IFDIR:
                what = "SQLite database" if of == self.database else "log"
                raise LocalFilesDamaged(f"{path} is not a {what}: it is a folder; name another file")
            if is_file and kind != stat.S_IFREG:
                raise UsageError(f"{path} is a device or a pipe: name a file for a database and for its log")
            other = inodes.setdefault((found.st_dev, found.st_ino), path)
            if other != path:
                raise UsageError(
                    f"{other} and {path} are one and the same file (by a link, or a mount): name another "
                    f"database with --db, or another log with --wal"
                )

    def _all_names(self) -> Iterator[tuple[Path, str]]:
        """The names of all files, and of the folder, as one of three and what comes after it."""
        for suffix in ("", *_SQLITE_SUFFIXES, ".replay.json", ".replay.json.next"):
            yield self.database, suffix
        for suffix in ("", *_SIDECARS):
            yield self.wal, suffix
        yield self.folder, ""

    def all_files(self) -> Iterator[Path]:
        """The names of all files, and of the folder, that belong to the database, be they there or not."""
        return (of.with_name(of.name + suffix) for of, suffix in self._all_names())

    @property
    def engine_state(self) -> Path:
        """The file in which an engine without a database keeps how far its copy has come."""
        return self.database.with_name(self.database.name + ".replay.json")

    @property
    def applied_position(self) -> Path:
        """The sidecar with the applied position: a copy, for other programs."""
        return self.wal.with_name(self.wal.name + ".applied_pos")

    @property
    def cluster_id(self) -> Path:
        """The sidecar with the cluster id, made at first start and never changed."""
        return self.wal.with_name(self.wal.name + ".cluster_id")

    @property
    def writer_lock(self) -> Path:
        """The file that the one process locks which writes the log."""
        return self.wal.with_name(self.wal.name + ".lock")

    @property
    def pair(self) -> Path:
        """The file by which the log knows its database; see `spgrepl.pairs.pair`."""
        return self.wal.with_name(self.wal.name + ".pair")

    @property
    def left(self) -> Path:
        """The file in which a primary notes how it left its database."""
        return self.wal.with_name(self.wal.name + ".left")

    @property
    def durable(self) -> Path:
        """The file in which a primary says how much of its log is durable; see `spgrepl.log.durable`."""
        return self.wal.with_name(self.wal.name + ".durable")

    @property
    def wal_level(self) -> Path:
        """The file with the WAL level that was set; see `spgrepl.log.stored_level`."""
        return self.wal.with_name(self.wal.name + ".level")

    @property
    def learned(self) -> Path:
        """The file with what a master has learned from its log; see `spgrepl.catalogue.learned`."""
        return self.wal.with_name(self.wal.name + ".learned")

    @property
    def subscription_marks(self) -> Path:
        """The file by which a primary's subscriptions stay in agreement with its log."""
        return self.wal.with_name(self.wal.name + ".subscriptions")

    @property
    def control_socket(self) -> Path:
        """The UNIX socket where the running server takes statements."""
        return self.wal.with_name(self.wal.name + ".control")

    @property
    def folder(self) -> Path:
        """The folder of cold segments and manifest, named after the database's stem."""
        return self.database.with_name(self.database.stem + ".spg")

    @property
    def manifest(self) -> Path:
        """The manifest of cold segments."""
        return self.folder / "manifest.v10"

    @property
    def segments(self) -> Path:
        """The folder of the cold segments' files."""
        return self.folder / "segments"


def require_utf8_name(database: Path) -> None:
    """See that SQLite can open a database of this name: its names are UTF-8.

    Raises:
        UsageError: The name, or that of a folder above it, is not UTF-8, or the locale cannot say it.
    """
    path = database.absolute()
    try:
        str(path).encode("utf-8")
        return
    except UnicodeEncodeError:
        shown = str(path).encode("utf-8", "backslashreplace").decode()
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            f"the name {shown} is not UTF-8, and SQLite opens no other: rename the file or the folder"
        ) from None
    raise UsageError(
        f"the name {shown} has letters that this locale does not know: set LC_ALL=C.UTF-8, or PYTHONUTF8=1"
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: what was created, renamed or removed there."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _linked(path: Path) -> Path:
    """What a symbolic link points to in the end; any other path as it is."""
    return path.resolve() if path.is_symlink() else path


def create_private(path: Path) -> int:
    """Create a file that only its owner may read and write, whatever the umask.

    Args:
        path: The file. Nothing may be there, not even a link that leads nowhere.

    Returns:
        A descriptor for reading and writing, which the caller closes.

    Raises:
        FileExistsError: Something is there.
        OSError: The file cannot be made.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        os.fchmod(handle, PRIVATE)
    except OSError:
        os.close(handle)
        raise
    return handle


def make_private(path: Path) -> bool:
    """Make an empty file that only its owner may read and write, where none is there.

    Use it before SQLite creates a database: the database's own journals get its mode.

    Returns:
        Whether it was made.
    """
    try:
        handle = create_private(path)
    except FileExistsError:
        return False
    os.close(handle)
    return True


def refuse_orphaned_journal(database: Path) -> None:
    """See that nothing is left of a database that is not there: SQLite would delete it beside a new one.

    Args:
        database: A database that does not exist.

    Raises:
        LocalFilesDamaged: A journal is there, which may hold changes of the database that it belongs to.
    """
    for suffix in _SQLITE_SUFFIXES:
        journal = database.with_name(database.name + suffix)
        if suffix != "-shm" and journal.exists() and journal.stat().st_size:
            raise LocalFilesDamaged(
                f"{journal} is there without its database {database}, and may hold changes of it: put "
                f"the database back, or move this file away"
            )


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, whatever the umask; nothing happens when one is there."""
    try:
        os.mkdir(path, PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    os.chmod(path, PRIVATE_FOLDER)
    sync_folder(path.parent)


def own_name(path: Path, kind: str) -> Path:
    """Name a temporary file beside another one: no file of anybody else has such a name.

    Args:
        path: The file beside which it lies.
        kind: What it is for, such as ``tmp``; see `remove_own`.
    """
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}.{kind}")


def remove_own(path: Path, kind: str, suffixes: tuple[str, ...] = ("",)) -> list[Path]:
    """Remove the temporary files that a killed process has left beside a file.

    Args:
        path: The file beside which they lie. The caller holds the lock that their maker held.
        kind: What they were for, as it was said to `own_name`.
        suffixes: What else may stand after their names, for files that belong to them.

    Returns:
        What was removed.

    Raises:
        OSError: The folder cannot be read, or a file not be removed.
    """
    return _remove_own(path.parent, (path.name,), kind, suffixes)


def _remove_own(folder: Path, names: Iterable[str], kind: str, suffixes: tuple[str, ...] = ("",)) -> list[Path]:
    begins, ends = "|".join(map(re.escape, names)), "|".join(map(re.escape, suffixes))
    pattern = re.compile(rf"(?:{begins})\.[0-9a-f]{{16}}\.{re.escape(kind)}(?:{ends})")
    found = [folder / name for name in os.listdir(folder) if pattern.fullmatch(name)]
    for leftover in found:
        leftover.unlink(missing_ok=True)
    return found


def remove_temporaries(paths: Iterable[Path]) -> None:
    """Remove what a killed process has left of files that it was about to replace.

    Args:
        paths: The files; the caller holds the lock that their maker held.

    Raises:
        OSError: A folder cannot be read, or a file not be removed.
    """
    folders: dict[Path, list[str]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path.name)
    for folder, names in folders.items():
        if folder.is_dir():
            _remove_own(folder, names, "tmp")


def replace_file(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a file beside its place and rename it there, so that no reader ever sees a part.

    The file keeps its mode; a new one is its owner's only.

    Args:
        path: The file to replace or create; the caller knows that it is one of ours.
        content: Its new content.
        durable: Whether content and name must survive a loss of power when this returns.

    Raises:
        OSError: The disk refuses. The file is as it was.
    """
    temporary = own_name(path, "tmp")
    handle = create_private(temporary)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            keep_mode(path, file.fileno())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def keep_mode(path: Path, handle: int) -> None:
    """Give an open file, which is about to take another's place, the mode of that one."""
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode != PRIVATE:
            os.fchmod(handle, mode)

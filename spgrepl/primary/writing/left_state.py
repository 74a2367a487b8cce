r"""Whether a database still is as its primary has left it: a small file beside the log.

While a primary has the database open, SQLite tells it of others (``data_version``). Between two of them, such as
two runs of ``spgrepl exec``, nobody is told: what others write then is not in the log, and copies would never have
it.

The file ``<log>.left`` is made when the last connection to the database is closed, and removed, durably, when it
is opened again: after a crash there is none, and nothing is judged. Layout, little-endian: ``"SPGLEFT\x01"`` ·
`u64` inode of the database · `u64` its length · `u64` its time of modification in nanoseconds · `u32` CRC-32 of
all before.
"""

from __future__ import annotations

import contextlib
import os
import struct
from zlib import crc32

from spgrepl.base.small_files import open_regular
from spgrepl.disk.files import DatabasePaths, create_private, sync_folder
from spgrepl.text.role_log import RoleLogger

_MAGIC = b"SPGLEFT\x01"
_CONTENT = struct.Struct("<8sQQQ")
_CRC = struct.Struct("<I")
_SIZE = _CONTENT.size + _CRC.size

_log = RoleLogger()


class LeftState:
    """Notes how the database was left, and looks whether it still is so. Blocking.

    Args:
        paths: The database and its log; its lock must be held.
    """

    def __init__(self, paths: DatabasePaths) -> None:
        self._paths = paths
        self._path = paths.left
        self._writing = False
        self._journal = paths.database.with_name(f"{paths.database.name}-wal")

    def was_changed(self) -> bool:
        """Whether the database was written since it was left; False where that is not known.

        A different file of the same name, such as a backup that was put back, is not judged. To be called before
        the database is opened.
        """
        noted = self._read()
        if noted is None:
            return False
        try:
            found = os.stat(self._paths.database)
        except FileNotFoundError:
            return False
        inode, size, modified = noted
        if found.st_ino != inode:
            return False
        return (found.st_size, found.st_mtime_ns) != (size, modified) or self._has_journal()

    def is_changed(self) -> bool:
        """Whether the database was written since it was left: for those who do not have its lock, at any time.

        A writer of ours removes the note before it writes. So what is found counts only where the same note is
        there afterwards.
        """
        noted = self._content()
        return noted is not None and self.was_changed() and self._content() == noted

    def begin(self) -> None:
        """Remove what was noted, durably: from now on the database is written."""
        self._writing = True
        if self._is_ours():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
                sync_folder(self._path.parent)

    def end(self) -> None:
        """Note how the database is left, where no other program has it open. To be called when it is closed.

        Nothing happens where it was not written.
        """
        writing, self._writing = self._writing, False
        if not writing or self._has_journal():
            return  # Whoever closes it last will write it.
        try:
            found = os.stat(self._paths.database)
            content = _CONTENT.pack(_MAGIC, found.st_ino, found.st_size, found.st_mtime_ns)
            handle = create_private(self._path)
        except FileNotFoundError:
            return  # moved away under its writer, which has said so
        except OSError as error:
            _log.warn("{path} cannot be made: {error}", path=str(self._path), error=error)
            return
        try:
            os.write(handle, content + _CRC.pack(crc32(content)))
        except OSError as error:
            _log.warn("{path} cannot be written: {error}", path=str(self._path), error=error)
        finally:
            os.close(handle)

    def _has_journal(self) -> bool:
        try:
            return os.stat(self._journal).st_size > 0
        except FileNotFoundError:
            return False

    def _content(self) -> bytes | None:
        try:
            with open_regular(self._path) as file:
                return file.read(_SIZE + 1)
        except FileNotFoundError:
            return None

    def _is_ours(self) -> bool:
        content = self._content()
        return content is not None and _may_be_torn(content)

    def _read(self) -> tuple[int, int, int] | None:
        content = self._content()
        if content is None or len(content) != _SIZE or content[: len(_MAGIC)] != _MAGIC:
            return None
        if _CRC.unpack_from(content, _CONTENT.size)[0] != crc32(content[: _CONTENT.size]):
            return None
        _, inode, size, modified = _CONTENT.unpack_from(content)
        return inode, size, modified


def _may_be_torn(content: bytes) -> bool:
    """Whether a file holds what a loss of power, or a full disk, can leave of one of ours."""
    return len(content) <= _SIZE and (not content.strip(b"\0") or content[: len(_MAGIC)] == _MAGIC[: len(content)])

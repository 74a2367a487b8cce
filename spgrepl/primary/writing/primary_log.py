"""A primary's log: it says how far it is durable, and goes on after a refusal so that every reader can tell.

What is served of a log is what was fsynced (`spgrepl.log.durable`), so our own followers never hold what the disk
has refused. Programs that read the file by themselves may: an SPG server that serves the same log, or ``tail``. So
a refusal cuts nothing off that anybody may have seen. What was written is replaced, byte for byte, by records that
hold a comment, and the next group begins with one more. However long and similar the next statement is, what
stands there now differs from what stood there before.

Writing all of it again is also what the disk needs. After an fsync that failed the kernel may take the pages for
clean, and the next fsync would succeed without having written them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from spgrepl.errors import FileLost, OutcomeUnknown
from spgrepl.log.durable import DurableFile, DurableLength, read_durable_of
from spgrepl.log.format.records import DEFAULT_MAX_RECORD, encode_v2
from spgrepl.log.writer import LogWriter
from spgrepl.text.role_log import RoleLogger

_CHUNK = 32 * 1024
_LEAST = len(encode_v2(b"/**/"))
_PIECE = 1024 * 1024


class PrimaryLog(LogWriter):
    """The log of a primary. Blocking; used by one thread at a time.

    Args:
        path: The log file.
        max_record: The most bytes of SQL that a record may have.
        grew: Called when the log is durable further than it was, after that was said.
    """

    _log = RoleLogger()

    def __init__(
        self, path: Path, max_record: int = DEFAULT_MAX_RECORD, grew: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(path)
        self._grew = grew
        self._chunk = min(_CHUNK, max_record)
        self._durable = DurableFile(path)
        self._before: DurableLength | None = None
        self._agreed = False

    @property
    def warning(self) -> str | None:
        """Why nothing new of the log is sent on; None where that is not so."""
        return self._durable.complaint

    @property
    def mark(self) -> bytes | None:
        """The SQL that the next group has to begin with because something was refused; None without need."""
        if not self._durable.mark_due:
            return None
        # Nobody has seen this one before: it is told from whatever stood here.
        text = b"/* spgrepl: the disk refused what was written last; the log goes on here, at position %d, %s */"
        return text % (self.length, secrets.token_hex(8).encode())

    def find_durable(self) -> DurableLength | None:
        """Read what the last writer said of this file; None where nobody said anything of it.

        Raises:
            LocalFilesDamaged: A file of something else has the name.
            OSError: It cannot be read.
        """
        inode = os.fstat(self.fileno()).st_ino if self.is_open else None
        self._before = read_durable_of(self.path, inode, self.length)
        return self._before

    def begin(self, position: int) -> None:
        """Say that the log has a writer; call `in_order` once it is.

        Args:
            position: Where the database stands: up to there the log is durable in any case.

        Raises:
            OSError: The disk refuses.
            LocalFilesDamaged: A file of something else has the name that is needed.
        """
        before = self._before
        durable = position if before is None else max(position, before.length)
        refused = before is not None and before.refused
        self._agreed = False
        self._durable.begin(self.fileno(), min(self.length, durable), refused)
        if before is not None and before.is_exact:
            # Its writer was killed, or its disk failed: the kernel may hold pages for clean that never arrived.
            self._write_again(self._durable.length)

    def _write_again(self, start: int) -> None:
        for at in range(start, self.length, _PIECE):
            piece = os.pread(self.fileno(), min(_PIECE, self.length - at), at)
            if os.pwrite(self.fileno(), piece, at) != len(piece):
                raise OSError(f"{self.path} could not be written again at position {at}")

    def in_order(self) -> None:
        """Say that all of the log is durable, and may be served."""
        self._agreed = True
        self._durable.publish(self.length, self._durable.mark_due)
        self._grew()

    def publish(self) -> None:
        """Say so of what was added, which began with the mark where one was due."""
        self._durable.publish(self.length)
        self._grew()

    def tell_foreign(self) -> None:
        """Say beside the log, for masters in other processes, that another program has written the database."""
        self._durable.tell_foreign()

    def add(self, pieces: Iterable[bytes], waiting: Callable[[], None] = lambda: None) -> None:
        """Append what belongs together and make it durable; nobody is told of it before `publish`.

        Args:
            pieces: The bytes.
            waiting: Called when they are written, and the disk is about to be waited for.

        Raises:
            OSError: The disk refuses. What was written of it is replaced by a mark, durably, and published.
            OutcomeUnknown: That was refused, too. The log must be closed and opened again.
        """
        start = self.length
        try:
            for piece in pieces:
                self._write(piece)
            waiting()
            self.sync()
        except OSError as error:
            self._disown(start, error)
            raise

    def require_in_place(self) -> None:
        """See `LogWriter.require_in_place`. How much of a touched file counts is for the next writer to say."""
        try:
            super().require_in_place()
        except FileLost:
            self._agreed = False
            raise

    def take_back(self, length: int) -> None:
        """See `LogWriter.take_back`; how much of the log counts is for the next writer to say."""
        self._agreed = False
        super().take_back(length)

    def _disown(self, start: int, reason: OSError) -> None:
        """Put marks in the place of what was refused; where even that is refused, cut it off."""
        stop = self.length
        if stop == start:
            self._half_written = False
            return
        try:
            try:
                self._replace(start, stop)
            except OSError:
                self.cut(start)
        except OSError as error:
            self._agreed = False
            self._durable.publish(start, refused=True)
            raise OutcomeUnknown(
                f"{self.path} could not be written ({reason}), and what stands after position {start} not be "
                f"taken back either ({error}): repair the disk and open the database again"
            ) from error
        self._half_written = False
        self._durable.publish(self.length, refused=True)
        self._grew()
        self._log.warn(
            "{path}: the disk refused what was written at positions {start} to {stop} ({reason}); the log goes on "
            "with a mark that says so",
            path=self.path,
            start=start,
            stop=stop,
            reason=reason,
        )

    def _replace(self, start: int, stop: int) -> None:
        if stop - start < _LEAST:
            self.cut(start)  # less than one record: nobody can have read anything
            return
        at = start
        for record in replacement(start, stop, self._chunk):
            if os.pwrite(self.fileno(), record, at) != len(record):
                raise OSError(f"{self.path} was not written whole at position {at}")
            at += len(record)
        os.fsync(self.fileno())

    def close(self) -> None:
        """Close the file, and say that no writer has it, where it was left in order."""
        if self._durable.is_open and self._agreed:
            self._durable.end()
        self._durable.leave()
        self._before = None
        super().close()


def replacement(start: int, stop: int, chunk: int = _CHUNK) -> Iterator[bytes]:
    """Make records that do nothing and fill a part of a log exactly.

    Args:
        start: Where the part begins, in bytes.
        stop: Where it ends, 12 bytes further at least.
        chunk: The most bytes that a record is to have, 24 at least.
    """
    long = b" spgrepl: the disk refused what was written at positions %d to %d; this stands there instead " % (
        start,
        stop,
    )
    # At random, so that no part of it is what stood there before.
    filling = secrets.token_hex(16).encode() + b"."
    at = start
    while at < stop:
        size = min(chunk, stop - at)
        if 0 < stop - at - size < _LEAST:
            size -= _LEAST
        room = size - _LEAST
        text = next(words for words in (long, b" spgrepl: refused ", b"") if len(words) <= room)
        fill = text + filling * (room // len(filling) + 1)
        yield encode_v2(b"/*" + fill[:room] + b"*/")
        at += size

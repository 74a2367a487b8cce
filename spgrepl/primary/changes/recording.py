"""The records that a group of requests will add to the log, kept until the log takes them.

They are kept in memory up to a limit and in an unlinked file beyond it, so that a statement which changes millions
of rows needs no more memory than one that changes a few. What a savepoint takes back is cut off the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import attrs

from spgrepl.log.format.parser import RecordParser
from spgrepl.log.format.records import encode_statement, encode_v2, encode_v2_all

MEMORY_LIMIT = 8 * 1024 * 1024
"""So many bytes of records are kept in memory at most."""

_PIECE = 1024 * 1024
_BEGIN = encode_v2(b"BEGIN")
_COMMIT = encode_v2(b"COMMIT")
_BRACKETS = frozenset({b"BEGIN", b"COMMIT"})


@attrs.frozen
class Mark:
    """A place in a recording to go back to.

    Attributes:
        pieces: How many pieces were appended before it.
        length: How many bytes.
        statements: How many statements of the request that is being recorded.
    """

    pieces: int
    length: int
    statements: int


class Recording:
    """Records, one request after the other. Blocking; used by one thread at a time.

    Args:
        folder: Where the file is made that holds what memory is not to hold.
        memory_limit: How many bytes memory is to hold at most.
    """

    def __init__(self, folder: Path, memory_limit: int = MEMORY_LIMIT) -> None:
        self._folder = folder
        self._limit = memory_limit
        self._pieces: list[bytes] = []
        self._held = 0
        self._file: BinaryIO | None = None
        # What of the recording is in the file.
        self._filed_pieces = 0
        self._filed = 0
        self._head = 0
        self._start_pieces = 0
        self._start_length = 0
        self._first = b""
        self._statements = 0

    @property
    def length(self) -> int:
        """How many bytes have been recorded, up to the end of the last request."""
        return self._filed + self._held

    @property
    def changes(self) -> int:
        """How many statements of the present request have been recorded."""
        return self._statements

    # -- requests ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a request."""
        self._statements = 0
        self._start_pieces = self._filed_pieces + len(self._pieces)
        self._start_length = self._filed + self._held

    def add(self, sql: bytes) -> None:
        """Record a statement of the request.

        Raises:
            OSError: The disk refuses.
        """
        count = self._statements
        if count == 0:
            self._first = sql
        elif count == 1:
            self._append(_BEGIN)
            self._append(encode_v2(self._first))
            self._append(encode_v2(sql))
        else:
            self._append(encode_v2(sql))
        self._statements = count + 1

    def add_all(self, statements: Sequence[bytes]) -> None:
        """Record statements of the request, with less work for each than `add`.

        Raises:
            OSError: The disk refuses.
        """
        first = 0
        while self._statements < 2 and first < len(statements):
            self.add(statements[first])
            first += 1
        rest = statements[first:]
        if rest:
            self._append(encode_v2_all(rest))
            self._statements += len(rest)

    def add_records(self, records: bytes, count: int) -> None:
        """Record further statements of the request, whose records are made; at least two stand before them.

        Raises:
            OSError: The disk refuses.
        """
        if count:
            assert self._statements > 1
            self._append(records)
            self._statements += count

    def add_requests(self, records: bytes, stops: Sequence[int]) -> list[int]:
        """Record whole requests, whose records are made.

        Args:
            records: The records of all.
            stops: Where in them those of each request end.

        Returns:
            Where the first begins, and where each ends.

        Raises:
            OSError: The disk refuses.
        """
        start = self.length
        if records:
            self._append(records)
        self._statements = 0
        return [start, *[start + stop for stop in stops]]

    def end(self) -> None:
        """End the request: one statement stands alone, several ones are a transaction of the log.

        Raises:
            OSError: The disk refuses.
        """
        if self._statements == 1:
            self._append(encode_statement(self._first))
        elif self._statements:
            self._append(_COMMIT)
        self._statements = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been recorded, but for what it begins with."""
        return self.length == self._head

    def begin_with(self, sql: bytes) -> None:
        """Record a statement that belongs to no request, and is wanted only where others follow.

        Raises:
            OSError: The disk refuses.
        """
        self._append(encode_statement(sql))
        self._head = self.length

    def undo(self) -> None:
        """Forget the request that is being recorded."""
        self.cut(Mark(self._start_pieces, self._start_length, 0))

    def undo_to(self, start: Mark) -> None:
        """Forget all requests from one on that began at a place."""
        self._start_pieces, self._start_length = start.pieces, start.length
        self.undo()

    def mark(self) -> Mark:
        """The place up to which the request has been recorded."""
        return Mark(self._filed_pieces + len(self._pieces), self.length, self._statements)

    def cut(self, mark: Mark) -> None:
        """Forget what was recorded after a place, which is not before the request's beginning."""
        self._statements = mark.statements
        if mark.statements < 2:
            mark = Mark(self._start_pieces, self._start_length, mark.statements)
        if mark.pieces >= self._filed_pieces:
            del self._pieces[mark.pieces - self._filed_pieces :]
            self._held = mark.length - self._filed
        else:
            assert self._file is not None
            self._file.truncate(mark.length)
            self._file.seek(mark.length)
            self._pieces.clear()
            self._held = 0
            self._filed_pieces, self._filed = mark.pieces, mark.length

    def _append(self, record: bytes) -> None:
        self._pieces.append(record)
        self._held += len(record)
        if self._held > self._limit:
            self._write_out()

    def _write_out(self) -> None:
        if self._file is None:
            # Without a name from the beginning on: nothing is left behind, whatever ends this process.
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - `clear` closes it
                dir=self._folder, prefix=".spgrepl-rows-", buffering=0
            )
        view = memoryview(b"".join(self._pieces))
        while view:
            view = view[self._file.write(view) :]
        self._filed_pieces += len(self._pieces)
        self._filed += self._held
        self._pieces.clear()
        self._held = 0

    # -- reading ----------------------------------------------------------------------------------------------

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes that were recorded, in pieces of some size.

        Args:
            start: The offset of the first byte.
            stop: The offset after the last one; None for the end.
        """
        stop = self.length if stop is None else stop
        if start == 0 and stop == self.length and self._file is None:
            yield b"".join(self._pieces)
            return
        at = start
        while at < min(stop, self._filed):
            assert self._file is not None
            self._file.seek(at)
            piece = self._file.read(min(_PIECE, min(stop, self._filed) - at))
            at += len(piece)
            yield piece
        if self._file is not None:
            self._file.seek(self._filed)
        if at < stop:
            held = b"".join(self._pieces)
            yield held[at - self._filed : stop - self._filed]

    def crc(self, start: int = 0, stop: int | None = None) -> int:
        """The CRC-32 of what was recorded between two offsets."""
        found = 0
        for piece in self.pieces(start, stop):
            found = crc32(piece, found)
        return found

    def statements(self) -> Iterator[bytes]:
        """The SQL of all records, BEGIN and COMMIT left out."""
        parser = RecordParser(0, 2**31)
        for piece in self.pieces():
            parser.feed(piece)
            while (batch := parser.next_batch()) is not None:
                yield from (sql for sql in batch.sql if sql is not None and sql not in _BRACKETS)

    def clear(self) -> None:
        """Forget everything, the file too."""
        self._pieces.clear()
        self._held = self._filed = self._filed_pieces = self._statements = self._head = 0
        self._first = b""
        if self._file is not None:
            self._file.close()
            self._file = None

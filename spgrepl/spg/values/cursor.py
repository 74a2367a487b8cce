"""A place in a file that is read from front to back, where no length is believed.

Every count is compared with the bytes that are left before anything is allocated for it. What is read is held in
one block; it grows only to hold a single item (a row, a text) that is known to fit into the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import TypeVar

from spgrepl.errors import MalformedSpgFile, SpgFileError, SpgFileTruncated, UnknownSpgTag
from spgrepl.text.quantities import number_of

BLOCK = 256 * 1024
"""How many bytes are read at once."""

LONG_STR_FROM = 46
"""The version from which a length of 0xFFFF announces a longer one, in texts."""

LONG_BYTES_FROM = 47
"""The same for byte strings and elements of arrays."""

LONG = 0xFFFF

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_I64 = struct.Struct("<q")
_F32 = struct.Struct("<f")
_F64 = struct.Struct("<d")

T = TypeVar("T")


class Cursor:
    """Reads a stretch of a file.

    Args:
        handle: The open file's descriptor; read with `os.pread`, so that several cursors share it.
        name: The file's name, for errors.
        start: The offset of the first byte.
        end: The offset after the last one.
        version: The FILE_VERSION of the catalog, or the codec version of a segment; 0 before it is known.

    Attributes:
        buffer: The bytes at hand.
        at: Where the next byte stands in `buffer`.
    """

    def __init__(self, handle: int, name: str, start: int, end: int, version: int = 0) -> None:
        self._handle = handle
        self.name = name
        self._base = start
        self.end = end
        self.version = version
        self.buffer = b""
        self.at = 0

    @property
    def offset(self) -> int:
        """Where the next byte stands in the file."""
        return self._base + self.at

    @property
    def left(self) -> int:
        """How many bytes follow."""
        return self.end - self._base - self.at

    def another(self, start: int, end: int) -> Cursor:
        """A cursor over another stretch of the same file."""
        return Cursor(self._handle, self.name, start, end, self.version)

    # -- faults -----------------------------------------------------------------------------------------------

    def fault(self, kind: type[SpgFileError], what: str, offset: int | None = None) -> SpgFileError:
        """An error that names the file, the place and, inside of a catalog, its version."""
        said = f"{what} (FILE_VERSION {self.version})" if self.version else what
        return kind(said, self.name, self.offset if offset is None else offset)

    def malformed(self, what: str) -> SpgFileError:
        """The content breaks the rules."""
        return self.fault(MalformedSpgFile, what)

    def unknown(self, what: str, tag: int, offset: int) -> SpgFileError:
        """A tag that is not known."""
        return self.fault(UnknownSpgTag, f"{what} {tag} is not known: a newer SPG server, or damage", offset)

    def short(self, count: int, what: str = "bytes") -> SpgFileError:
        """Fewer bytes follow than are needed."""
        return self.fault(
            SpgFileTruncated,
            f"{count} {what} are announced, {number_of(self.left, 'byte follows', 'bytes follow')}",
        )

    # -- bytes ------------------------------------------------------------------------------------------------

    def need(self, count: int) -> None:
        """Have at least so many bytes in `buffer` from `at` on.

        Raises:
            SpgFileTruncated: Fewer are left.
        """
        if len(self.buffer) - self.at < count:
            self._fill(count)

    def _fill(self, count: int) -> None:
        left = self.left
        if count > left:
            raise self.short(count)
        kept = self.buffer[self.at :]
        parts, size, wanted = [kept], len(kept), min(left, max(count, BLOCK))
        while size < wanted:
            part = os.pread(self._handle, min(wanted - size, 1 << 30), self.offset + size)
            if not part:
                raise self.fault(
                    SpgFileTruncated, f"the file ends {number_of(wanted - size, 'byte')} early: it shrank"
                )
            parts.append(part)
            size += len(part)
        self._base += self.at
        self.at = 0
        self.buffer = b"".join(parts)

    def skip(self, count: int) -> None:
        """Go on by so many bytes."""
        if count > self.left:
            raise self.short(count)
        self.at += count
        if self.at > len(self.buffer):
            self._base += self.at
            self.at = 0
            self.buffer = b""

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.need(count)
        self.at += count
        return self.buffer[self.at - count : self.at]

    # -- numbers ----------------------------------------------------------------------------------------------

    def _number(self, form: struct.Struct) -> int:
        self.need(form.size)
        self.at += form.size
        (found,) = form.unpack_from(self.buffer, self.at - form.size)
        return int(found)

    def u8(self) -> int:
        """An unsigned byte."""
        self.need(1)
        self.at += 1
        return self.buffer[self.at - 1]

    def u16(self) -> int:
        """An unsigned number of two bytes."""
        return self._number(_U16)

    def u32(self) -> int:
        """An unsigned number of four bytes."""
        return self._number(_U32)

    def u64(self) -> int:
        """An unsigned number of eight bytes."""
        return self._number(_U64)

    def i64(self) -> int:
        """A signed number of eight bytes."""
        return self._number(_I64)

    def f32(self) -> float:
        """A binary fraction of four bytes."""
        return float(_F32.unpack(self.take(4))[0])

    def f64(self) -> float:
        """A binary fraction of eight bytes."""
        return float(_F64.unpack(self.take(8))[0])

    def flag(self) -> bool:
        """A byte that is 0 or 1."""
        found = self.u8()
        if found > 1:
            self.at -= 1
            raise self.malformed(f"a byte {found} stands where only 0 and 1 can")
        return bool(found)

    def truth(self) -> bool:
        """A byte that is 0 for false, and true else."""
        return self.u8() != 0

    # -- texts ------------------------------------------------------------------------------------------------

    def decoded(self, count: int) -> str:
        """A text of so many bytes."""
        start = self.offset
        try:
            return self.take(count).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fault(MalformedSpgFile, f"a text is not UTF-8: {error.reason}", start) from None

    def text(self) -> str:
        """A `str`: its length in two bytes, longer ones escaped from version 46 on."""
        count = self.u16()
        if count == LONG and self.version >= LONG_STR_FROM:
            count = self.u32()
        return self.decoded(count)

    def plain_text(self) -> str:
        """A text whose length in two bytes is never escaped, as in the envelope's sections."""
        return self.decoded(self.u16())

    def long_text(self) -> str:
        """An `lstr`: its length in four bytes."""
        return self.decoded(self.u32())

    # -- counted things ---------------------------------------------------------------------------------------

    def checked(self, count: int, smallest: int) -> int:
        """A count of items, compared with the bytes that are left.

        Args:
            count: How many there are said to be.
            smallest: The fewest bytes that one can have.

        Raises:
            SpgFileTruncated: They cannot all be there.
        """
        if count * smallest > self.left:
            raise self.short(count, f"items of at least {number_of(smallest, 'byte')}")
        return count

    def list16(self, item: Callable[[Cursor], T], smallest: int = 1) -> tuple[T, ...]:
        """A count in two bytes, and so many items."""
        return tuple(item(self) for _ in range(self.checked(self.u16(), smallest)))

    def list32(self, item: Callable[[Cursor], T], smallest: int = 1) -> tuple[T, ...]:
        """A count in four bytes, and so many items."""
        return tuple(item(self) for _ in range(self.checked(self.u32(), smallest)))

    def optional(self, item: Callable[[Cursor], T]) -> T | None:
        """A byte 0 and nothing, or a byte 1 and an item."""
        return item(self) if self.flag() else None

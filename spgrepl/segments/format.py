"""Files of cold segments: their names, and whether one is sound, in constant memory (PROTOCOL section 6)."""

from __future__ import annotations

import enum
import re
import stat
import struct
from collections.abc import Callable

import attrs

from spgrepl.base.checksum import crc32
from spgrepl.errors import CompressionError, SegmentDamaged
from spgrepl.log.format.lzss_stream import LzssExpander
from spgrepl.segments.content import (
    BRIN_MAGIC,
    ENVELOPE_MAGIC,
    FOOTER_BYTES,
    MAGIC_BYTES,
    SEGMENT_MAGICS,
    ContentDamaged,
    ContentReader,
    SegmentContent,
)
from spgrepl.text.quantities import number_of

MAX_ID = 2**32 - 1

_ENVELOPE = struct.Struct("<8sBI")
STORED, LZSS = 0, 1
_LOOKS_LIKE = re.compile(r"seg_(.*)\.spg", re.DOTALL)
_NAME = re.compile(r"seg_(0|[1-9][0-9]{0,9})\.spg")
_PIECE = 64 * 1024
"""How much of a compressed segment is expanded at once."""


def segment_name(segment_id: int) -> str:
    """The name of a segment's file."""
    return f"seg_{segment_id}.spg"


def segment_id_of(name: str) -> int | None:
    """The id of the segment whose file has a name; None where the name is not a segment's."""
    found = _NAME.fullmatch(name)
    number = int(found[1]) if found else -1
    return number if 0 <= number <= MAX_ID else None


def reason_left_out(name: str, mode: int) -> str | None:
    """Why a file that looks like a segment's is not taken for one where no manifest lists it.

    Args:
        name: The file's name.
        mode: Its mode, of itself and not of what a link points to.

    Returns:
        The reason; None where it is taken, or does not look like a segment's file.
    """
    found = _LOOKS_LIKE.fullmatch(name)
    if found is None:
        return None
    if stat.S_ISLNK(mode):
        return "it is a symbolic link, which is not followed: put the file here, or list it in a manifest"
    if not stat.S_ISREG(mode):
        return "it is not a file"
    if segment_id_of(name) is not None:
        return None
    if found[1].isascii() and found[1].isdigit():
        if int(found[1]) > MAX_ID:
            return f"its id is above {MAX_ID}, the highest that can be sent"
        return f"segment {int(found[1])} is named {segment_name(int(found[1]))}"
    return "what stands where the id belongs is not a number"


class SegmentFormat(enum.Enum):
    """What a segment's file is; the value is what users read."""

    V1 = "v1"
    V2 = "v2"
    V3 = "v3"
    V4 = "v4"
    BRIN = "BRIN without an envelope, which SPG itself does not read"
    OTHER = "other"


_PLAIN = {1: SegmentFormat.V1, 3: SegmentFormat.V3, 4: SegmentFormat.V4}

_NO_CONTENT = SegmentContent(0)


@attrs.frozen
class SegmentSummary:
    """A segment's file that was read to its end and found sound.

    Attributes:
        format: What it is. The content of other formats is not judged.
        length: Its length in bytes.
        crc: The CRC-32 of the whole file.
        content: What is inside; its `magic` is 0 where that is not a segment of SPG, and was not judged.
        compressed: Whether the content is compressed.
    """

    format: SegmentFormat
    length: int
    crc: int
    content: SegmentContent = _NO_CONTENT
    compressed: bool = False

    @property
    def described(self) -> str:
        """Format, what is inside, rows and keys, in words."""
        words = [self.format.value]
        content = self.content
        if self.format is SegmentFormat.V2:
            inner = _PLAIN[content.magic].value if content.magic else "other"
            brin = "BRIN and " if content.brin is not None else ""
            words = [f"v2 ({brin}{inner}{', LZSS' if self.compressed else ''})"]
        if content.rows is not None:
            words += [number_of(content.rows, "row", form=","), content.keys]
        return ", ".join(words)


class SegmentCheck:
    """Takes a segment's file from front to back, in pieces of any size, and judges it at the end.

    Args:
        name: What to call it in errors.
        expanded: Called with the bytes of the content of a compressed file, in order.
    """

    def __init__(self, name: str, expanded: Callable[[bytes], object] = lambda _: None) -> None:
        self._name = name
        self._sink = expanded
        self._head = b""
        self._tail = b""
        self._crc = 0  # of everything before the tail
        self._content: ContentReader | None = None
        self._expander: LzssExpander | None = None
        self._inner = 0
        self._fault: Exception | None = None
        self.length = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.length += len(data)
        if self._fault is None:
            try:
                self._look_inside(data)
            except (ContentDamaged, CompressionError) as error:
                # The rest is counted and summed up all the same: the error tells the checksum of the whole file.
                self._fault = error
        if len(data) < FOOTER_BYTES:
            data = self._tail + data
            self._crc = crc32(data[:-FOOTER_BYTES], self._crc)
        else:
            self._crc = crc32(memoryview(data)[:-FOOTER_BYTES], crc32(self._tail, self._crc))
        self._tail = bytes(data[-FOOTER_BYTES:])

    def _look_inside(self, data: bytes | memoryview) -> None:
        if self._content is None:
            missing = _ENVELOPE.size - len(self._head)
            data = memoryview(data)
            self._head += bytes(data[:missing])
            data = data[missing:]
            if len(self._head) < _ENVELOPE.size:
                return
            self._content = ContentReader(not self._is_plain)
            if self._head.startswith(ENVELOPE_MAGIC):
                self._open_envelope()
            else:
                self._content.update(self._head)
        if self._expander is None:
            if not self._is_plain or self._content.content is None:
                self._content.update(data)
        else:
            for at in range(0, len(data), _PIECE):
                self._expand(self._expander.feed(data[at : at + _PIECE]))

    def _open_envelope(self) -> None:
        _, algorithm, self._inner = _ENVELOPE.unpack(self._head)
        if algorithm == LZSS:
            self._expander = LzssExpander(self._inner)
        elif algorithm != STORED:
            raise ContentDamaged(f"states compression {algorithm}, expected 0 (none) or 1 (LZSS)")

    def _expand(self, data: bytes) -> None:
        assert self._content is not None
        if data:
            self._sink(data)
            self._content.update(data)

    @property
    def _is_plain(self) -> bool:
        """Whether the file is the segment: its checksum then follows from that of the whole file."""
        return self._head[:MAGIC_BYTES] in SEGMENT_MAGICS

    @property
    def content(self) -> SegmentContent | None:
        """What is inside, as far as it has come."""
        return None if self._content is None else self._content.content

    @property
    def compressed(self) -> bool:
        """Whether the content is compressed, as far as is known."""
        return self._expander is not None

    @property
    def format(self) -> SegmentFormat:
        """What the file is, as far as it has come."""
        magic = self._head[:MAGIC_BYTES]
        if magic == ENVELOPE_MAGIC:
            return SegmentFormat.V2
        if magic.startswith(BRIN_MAGIC):
            return SegmentFormat.BRIN
        return _PLAIN.get(SEGMENT_MAGICS.get(magic, 0), SegmentFormat.OTHER)

    @property
    def crc(self) -> int:
        """The CRC-32 of all bytes so far."""
        return crc32(self._tail, self._crc)

    def so_far(self) -> SegmentSummary:
        """What the bytes that have come say; nothing is judged but the head.

        Raises:
            SegmentDamaged: The head is damaged.
        """
        if self._fault is not None:
            raise self._damage(self._fault)
        return SegmentSummary(self.format, self.length, self.crc, self.content or _NO_CONTENT, self.compressed)

    def _damage(self, fault: Exception) -> SegmentDamaged:
        said = f"holds {fault}" if isinstance(fault, CompressionError) else str(fault)
        return SegmentDamaged(f"{self._name} {said}: it is damaged", self.crc)

    def finish(self) -> SegmentSummary:
        """Judge the file; all of it has been taken.

        Raises:
            SegmentDamaged: Its checksum or its header is wrong.
        """
        try:
            if self._fault is not None:
                raise self._fault
            content = self._judge()
        except (ContentDamaged, CompressionError) as error:
            raise self._damage(error) from error
        return SegmentSummary(self.format, self.length, self.crc, content, self.compressed)

    def _judge(self) -> SegmentContent:
        if self._content is None:
            # The file is shorter than an envelope's header.
            if self._head.startswith(ENVELOPE_MAGIC):
                raise ContentDamaged(
                    f"has {number_of(self.length, 'byte')}, its header alone has {_ENVELOPE.size}"
                )
            self._content = ContentReader(not self._is_plain)
            self._content.update(self._head)
        if self._is_plain:
            self._check_footer()
        if self._expander is not None:
            self._expand(self._expander.finish())
        elif self.format is SegmentFormat.V2 and self._inner != self.length - _ENVELOPE.size:
            raise ContentDamaged(
                f"states {self._inner} inner bytes, {self.length - _ENVELOPE.size} follow its header"
            )
        return self._content.finish()

    def _check_footer(self) -> None:
        body = self.length - MAGIC_BYTES - FOOTER_BYTES
        if body < 0:
            raise ContentDamaged(f"has {number_of(self.length, 'byte')}, too few for a magic and a checksum")
        stated = int.from_bytes(self._tail, "little")
        # The body's CRC follows from that of magic and body together, which is known anyway.
        found = self._crc ^ _shifted(crc32(self._head[:MAGIC_BYTES]), body)
        if found != stated:
            raise ContentDamaged(f"has a body with CRC {found:08x}, its footer states {stated:08x}")


# -- CRC-32 as a polynomial (Mark Adler's crc32_combine, zlib) ------------------------------------------------

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_X = 1 << 30


def _shifted(crc: int, length: int) -> int:
    """What a CRC contributes to that of its bytes and `length` bytes after them: crc · x^(8·length)."""
    power, factor, exponent = _ONE, _X, 8 * length
    while exponent:
        if exponent & 1:
            power = _multiply(power, factor)
        factor = _multiply(factor, factor)
        exponent >>= 1
    return _multiply(power, crc)


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials modulo the CRC's, lowest power in the highest bit."""
    product, bit = 0, _ONE
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
        bit >>= 1
    return product

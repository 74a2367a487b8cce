"""Files of cold segments: their names, and whether one is sound, in constant memory (PROTOCOL section 6)."""

from __future__ import annotations

import enum
import re
import struct

import attrs

from spgrepl.checksum import crc32
from spgrepl.errors import SegmentDamaged

MAGIC_V1 = b"SPGSEG\x01\x00"
MAGIC_V2 = b"SPGSEG\x02\x00"
MAX_ID = 2**32 - 1

_FOOTER = struct.Struct("<I")
_ENVELOPE = struct.Struct("<8sBI")
_ALGORITHMS = (0, 1)
_NAME = re.compile(r"seg_(0|[1-9][0-9]{0,9})\.spg")


def segment_name(segment_id: int) -> str:
    """The name of a segment's file."""
    return f"seg_{segment_id}.spg"


def segment_id_of(name: str) -> int | None:
    """The id of the segment whose file has a name; None where the name is no segment's."""
    found = _NAME.fullmatch(name)
    number = int(found[1]) if found else -1
    return number if 0 <= number <= MAX_ID else None


class SegmentFormat(enum.Enum):
    """What a segment's file is; the value is what users read."""

    V1 = "v1"
    V2 = "v2"
    OTHER = "other"


@attrs.frozen
class SegmentSummary:
    """A segment's file that was read to its end and found sound.

    Attributes:
        format: What it is. The content of other formats is not judged.
        length: Its length in bytes.
        crc: The CRC-32 of the whole file.
    """

    format: SegmentFormat
    length: int
    crc: int


class SegmentCheck:
    """Takes a segment's file from front to back, in pieces of any size, and judges it at the end.

    Args:
        name: What to call it in errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._head = b""
        self._tail = b""
        self._crc = 0  # of everything before the tail
        self.length = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.length += len(data)
        if len(self._head) < _ENVELOPE.size:
            self._head += data[: _ENVELOPE.size - len(self._head)]
        if len(data) < _FOOTER.size:
            data = self._tail + data
            self._crc = crc32(data[: -_FOOTER.size], self._crc)
        else:
            self._crc = crc32(memoryview(data)[: -_FOOTER.size], crc32(self._tail, self._crc))
        self._tail = bytes(data[-_FOOTER.size :])

    @property
    def crc(self) -> int:
        """The CRC-32 of all bytes so far."""
        return crc32(self._tail, self._crc)

    def finish(self) -> SegmentSummary:
        """Judge the file; all of it has been taken.

        Raises:
            SegmentDamaged: Its checksum or its header is wrong.
        """
        return SegmentSummary(self._judge(), self.length, self.crc)

    def _judge(self) -> SegmentFormat:
        magic = self._head[: len(MAGIC_V1)]
        if magic == MAGIC_V1:
            self._check_footer()
            return SegmentFormat.V1
        if magic == MAGIC_V2:
            self._check_envelope()
            return SegmentFormat.V2
        if any(_differs_in_one_byte(magic, known) for known in (MAGIC_V1, MAGIC_V2)):
            # One byte away from a magic is no coincidence: taken as any other content, damage would pass.
            raise self._damaged(f"begins with {magic!r}: a damaged magic, or a version that is neither 1 nor 2")
        return SegmentFormat.OTHER

    def _check_footer(self) -> None:
        body = self.length - len(MAGIC_V1) - _FOOTER.size
        if body < 0:
            raise self._damaged(f"has {self.length} bytes, too few for a magic and a checksum")
        (stated,) = _FOOTER.unpack(self._tail)
        # The body's CRC follows from that of magic and body together, which is known anyway.
        found = self._crc ^ _shifted(crc32(MAGIC_V1), body)
        if found != stated:
            raise self._damaged(f"has a body with CRC {found:08x}, its footer states {stated:08x}")

    def _check_envelope(self) -> None:
        if len(self._head) < _ENVELOPE.size:
            raise self._damaged(f"has {self.length} bytes, its header alone has {_ENVELOPE.size}")
        _, algorithm, inner = _ENVELOPE.unpack(self._head)
        if algorithm not in _ALGORITHMS:
            raise self._damaged(f"states compression {algorithm}, expected 0 (none) or 1 (LZSS)")
        if inner != self.length - _ENVELOPE.size:
            raise self._damaged(f"states {inner} inner bytes, {self.length - _ENVELOPE.size} follow its header")

    def _damaged(self, what: str) -> SegmentDamaged:
        return SegmentDamaged(f"{self._name} {what}: it is damaged", self.crc)


def _differs_in_one_byte(found: bytes, known: bytes) -> bool:
    return len(found) == len(known) and sum(a != b for a, b in zip(found, known, strict=True)) == 1


# -- CRC-32 as a polynomial (Mark Adler's crc32_combine, zlib) ------------------------------------------------

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_X = 1 << 30


def _shifted(crc: int, length: int) -> int:
    """What a CRC contributes to that of its bytes and `length` bytes behind them: crc · x^(8·length)."""
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

"""LZSS streams of any length, expanded in constant memory: pushed in, in pieces of any size.

`spgrepl.log.format.lzss` describes the format, and expands what fits into memory.
"""

from __future__ import annotations

import struct

from spgrepl.compiled.core import CORE, Core
from spgrepl.errors import CompressionError
from spgrepl.log.format.lzss import MAX_DISTANCE, MAX_MATCH, MIN_MATCH
from spgrepl.text.quantities import number_of

_GROUP = 17
"""The most bytes of a group: its flags and eight tokens."""

_TRIM = 64 * 1024
_MOST_OF_GROUP = 8 * MAX_MATCH


def _runs(flags: int) -> tuple[int, ...]:
    """The tokens that flags announce: 0 for a copy, else how many literals follow each other."""
    found: list[int] = []
    for bit in range(8):
        if not flags >> bit & 1:
            found.append(0)
        elif found and found[-1]:
            found[-1] += 1
        else:
            found.append(1)
    return tuple(found)


_RUNS = tuple(map(_runs, range(256)))
_LENGTH = struct.Struct("<I")


class LzssExpander:
    """Expands a stream piece by piece.

    Args:
        length: How many bytes it has to expand to.
        core: The compiled core; None runs the reference.
    """

    def __init__(self, length: int, core: Core | None = CORE) -> None:
        self._length = length
        self._core = core
        self._rest = b""
        self._window = bytearray()
        self._gone = 0
        self._sent = 0
        self._begun = False

    @property
    def produced(self) -> int:
        """How many bytes have come out so far."""
        return self._gone + len(self._window)

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take the next bytes of the stream.

        Returns:
            What it expands to, as far as that is settled: at most nine times as much as came in.

        Raises:
            CompressionError: The stream is damaged.
        """
        rest = self._rest + bytes(data)
        at = 0
        if not self._begun:
            if len(rest) < _LENGTH.size:
                self._rest = rest
                return b""
            (stated,) = _LENGTH.unpack_from(rest)
            if stated != self._length:
                raise CompressionError(
                    f"an LZSS stream of {number_of(stated, 'byte')} stands where {self._length} are stated"
                )
            self._begun, at = True, _LENGTH.size
        at = self._expand(rest, at, _GROUP)
        self._rest = rest[at:]
        return self._emit()

    def finish(self) -> bytes:
        """The stream has ended.

        Returns:
            The last bytes that it expands to.

        Raises:
            CompressionError: It is cut short, or goes on after its end.
        """
        if not self._begun:
            raise CompressionError(
                f"an LZSS stream of {number_of(len(self._rest), 'byte')} has no room for its length"
            )
        at = self._expand(self._rest, 0, 1)
        if self.produced != self._length:
            raise CompressionError(
                f"an LZSS stream ends after {self.produced} of {number_of(self._length, 'byte')}"
            )
        if at != len(self._rest):
            raise CompressionError(f"an LZSS stream is followed by {number_of(len(self._rest) - at, 'more byte')}")
        self._rest = b""
        return self._emit()

    def _emit(self) -> bytes:
        """What was produced and not returned yet. A window stays: later copies reach back into it."""
        window = self._window
        found = bytes(window[self._sent :])
        self._sent = len(window)
        gone = self._sent - MAX_DISTANCE
        if gone > _TRIM:
            del window[:gone]
            self._gone += gone
            self._sent = MAX_DISTANCE
        return found

    def _expand(self, data: bytes, at: int, least: int) -> int:
        """Expand groups while so many bytes are at hand; returns where the next one starts."""
        end = len(data)
        if self._core is not None:
            at = self._core.lzss_expand(data, at, self._length - self.produced, self._window)
        left = self._length - self.produced
        while left >= _MOST_OF_GROUP and end - at >= _GROUP:
            # Neither end can be reached inside such a group.
            at, left = self._expand_inner(data, at, end - _GROUP, left)
        while left > 0 and end - at >= least:
            at, left = self._expand_last(data, at, end, left)
        return at

    def _expand_inner(self, data: bytes, at: int, stop: int, left: int) -> tuple[int, int]:
        """Expand groups up to one that may be the last in `data`, or of the stream."""
        out, runs = self._window, _RUNS
        before = len(out)
        most = before + left - _MOST_OF_GROUP
        while at <= stop and len(out) <= most:
            tokens = runs[data[at]]
            at += 1
            for literals in tokens:
                if literals:
                    out += data[at : at + literals]
                    at += literals
                    continue
                token = data[at] | data[at + 1] << 8
                at += 2
                distance, length = token >> 4, (token & 15) + MIN_MATCH
                start = len(out) - distance
                if not distance or start < 0:
                    raise self._too_far(distance)
                if distance >= length:
                    out += out[start : start + length]
                else:
                    out += (out[start:] * (length // distance + 1))[:length]
        return at, left - (len(out) - before)

    def _expand_last(self, data: bytes, at: int, end: int, left: int) -> tuple[int, int]:
        """Expand one group that may be cut short, or end the stream."""
        out = self._window
        flags = data[at]
        at += 1
        for _ in range(8):
            if left <= 0:
                break
            if at + (1 if flags & 1 else 2) > end:
                raise CompressionError(
                    f"an LZSS stream ends after {self.produced} of {number_of(self._length, 'byte')}"
                )
            if flags & 1:
                out.append(data[at])
                at += 1
                left -= 1
            else:
                token = data[at] | data[at + 1] << 8
                at += 2
                distance, length = token >> 4, (token & 15) + MIN_MATCH
                start = len(out) - distance
                if not distance or start < 0:
                    raise self._too_far(distance)
                left -= length
                out += (out[start:] * (length // distance + 1))[:length]
            flags >>= 1
        if left < 0:
            raise CompressionError(
                f"an LZSS stream produces more than the {number_of(self._length, 'byte')} that it states"
            )
        return at, left

    def _too_far(self, distance: int) -> CompressionError:
        return CompressionError(
            f"an LZSS copy from {number_of(distance, 'byte')} back, where {self.produced} have been produced"
        )

"""Dense rows, by a decoder that is compiled for each table and each pattern of NULLs.

A row is a bitmap of its NULLs and the bodies of all other columns, without tags. For one pattern the bodies always
stand in the same order, so a few `struct` layouts that reach across columns read most of a row. Patterns are
compiled when they are met first and kept, up to a limit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from spgrepl.spg.values.bodies import BadBody, Decode, Short
from spgrepl.spg.values.cursor import LONG, LONG_STR_FROM
from spgrepl.spg.values.texts import finite
from spgrepl.spg.values.types import Body, SpgType
from spgrepl.text.quantities import number_of

MOST_PLANS = 4096
"""How many patterns of NULLs are kept compiled."""

Row = list[Any]
"""The values of a row, as SQLite takes them."""

_U32 = struct.Struct("<I").unpack_from
_Unpack = Callable[[bytes, int], tuple[Any, ...]]


@attrs.frozen
class _Step:
    """One `struct` layout, and what follows it.

    Attributes:
        forms: The layout.
        text: Whether its last number is the length of a text that follows.
        decode: Reads a value that follows; None where there is none.
    """

    forms: str
    text: bool = False
    decode: Decode | None = None


_Plan = tuple[
    tuple[tuple[_Unpack | None, int, bool, Decode | None], ...],
    tuple[tuple[int, Callable[[Any], Any]], ...],
    tuple[int, ...],
]
"""Steps, conversions by place among the values that are there, places of the NULLs."""

_SkipPlan = tuple[tuple[int, _Unpack | None, Decode | None], ...]


class RowError(Exception):
    """A row that cannot be read.

    Attributes:
        at: Where it starts in the buffer.
        reason: What is wrong: a `BadBody` or a UnicodeDecodeError.
    """

    def __init__(self, at: int, reason: Exception) -> None:
        super().__init__(str(reason))
        self.at = at
        self.reason = reason


class RowDecoder:
    """Reads the rows of one table.

    Args:
        types: Its columns' types.
        version: The FILE_VERSION, or the codec version of a segment.
    """

    def __init__(self, types: Sequence[SpgType], version: int) -> None:
        self._bodies: list[Body] = [one.body(version) for one in types]
        self._reals = [place for place, body in enumerate(self._bodies) if body.convert is finite]
        self._width = (len(types) + 7) // 8
        self._escape = LONG if version >= LONG_STR_FROM else -1
        self._plans: dict[int | bytes, _Plan] = {}
        self._skips: dict[int | bytes, _SkipPlan] = {}

    # -- reading ----------------------------------------------------------------------------------------------

    def read(self, buf: bytes, at: int, most: int) -> tuple[list[Row], int, int]:
        """Read as many whole rows as the bytes at hand hold.

        Args:
            buf: The bytes.
            at: Where the first row starts.
            most: How many to read at most.

        Returns:
            The rows, where the next one starts, and how many bytes `buf` has to have for that one, as far as is
            known; 0 where `most` were read.

        Raises:
            RowError: A row breaks the rules. Those before it are lost: read less to get them.
        """
        values, at, needed = self.read_values(buf, at, most)
        size = len(self._bodies) or 1
        return [values[first : first + size] for first in range(0, len(values), size)], at, needed

    def read_values(self, buf: bytes, at: int, most: int) -> tuple[list[Any], int, int]:
        """The same, with the values of all rows in one list, one row after the other."""
        values: list[Any] = []
        plans, size, escape = self._plans, len(buf), self._escape
        width, narrow, columns = self._width, self._width == 1, len(self._bodies)
        start, base = at, 0
        needed = 0
        try:
            for base in range(0, most * columns, columns or 1):
                start = at
                key = buf[at] if narrow else buf[at : at + width]
                plan = plans.get(key)
                if plan is None:
                    plan = self._plan(key, at + width, size)
                steps, fixups, nulls = plan
                for unpack, length, text, decode in steps:
                    if unpack is not None:
                        values += unpack(buf, at)
                        at += length
                    if text:
                        count = values.pop()
                        if count == escape:
                            (count,) = _U32(buf, at)
                            at += 4
                        end = at + count
                        if end > size:
                            raise Short(end)
                        values.append(buf[at:end].decode())
                        at = end
                    elif decode is not None:
                        value, at = decode(buf, at)
                        values.append(value)
                for place, convert in fixups:
                    values[base + place] = convert(values[base + place])
                for place in nulls:
                    values.insert(base + place, None)
        except (Short, struct.error, IndexError) as short:
            at, needed = start, short.end if isinstance(short, Short) else size + 1
            del values[base:]
        except (BadBody, UnicodeDecodeError) as error:
            raise RowError(start, error) from error
        for place in self._reals:
            self._make_finite(values, place)
        return values, at, needed

    def _make_finite(self, values: list[Any], place: int) -> None:
        """Replace what SQLite cannot store in a column of binary fractions: all are looked at in one go first."""
        step = len(self._bodies)
        try:
            if math.isfinite(sum(values[place::step])):
                return
        except TypeError:
            pass  # a NULL among them
        for at in range(place, len(values), step):
            if values[at] is not None:
                values[at] = finite(values[at])

    def skip(self, buf: bytes, at: int, most: int) -> tuple[int, int, int]:
        """Go on by as many whole rows as the bytes at hand hold, without making values of them.

        Args:
            buf: The bytes.
            at: Where the first row starts.
            most: How many at most.

        Returns:
            How many rows, where the next one starts, and how many bytes `buf` has to have for that one; 0 where
            `most` were skipped.

        Raises:
            RowError: A row breaks the rules.
        """
        skips, size, escape = self._skips, len(buf), self._escape
        width, narrow = self._width, self._width == 1
        start, count = at, 0
        try:
            while count < most:
                start = at
                key = buf[at] if narrow else buf[at : at + width]
                plan = skips.get(key)
                if plan is None:
                    plan = self._skip_plan(key, at + width, size)
                for length, unpack, decode in plan:
                    if unpack is not None:
                        (stated,) = unpack(buf, at)
                        at += length
                        if stated == escape:
                            (stated,) = _U32(buf, at)
                            at += 4
                        at += stated
                    else:
                        at += length
                        if decode is not None:
                            _, at = decode(buf, at)
                if at > size:
                    raise Short(at)
                count += 1
        except Short as short:
            return count, start, short.end
        except (struct.error, IndexError):
            return count, start, max(size, at) + 1
        except (BadBody, UnicodeDecodeError) as error:
            raise RowError(start, error) from error
        return count, at, 0

    # -- compiling --------------------------------------------------------------------------------------------

    def _nulls(self, key: int | bytes, end: int, size: int) -> list[bool]:
        if end > size:
            raise Short(end)
        bitmap = key if isinstance(key, int) else int.from_bytes(key, "little")
        if bitmap >> len(self._bodies):
            raise BadBody(f"a bitmap of NULLs {bitmap:#x} for {number_of(len(self._bodies), 'column')}")
        return [bool(bitmap >> place & 1) for place in range(len(self._bodies))]

    def _steps(self, nulls: Sequence[bool]) -> list[_Step]:
        steps: list[_Step] = []
        forms = f"{self._width}x"
        for body, null in zip(self._bodies, nulls, strict=True):
            if null:
                continue
            if body.text:
                steps.append(_Step(forms + "H", text=True))
                forms = ""
            elif body.decode is not None:
                steps.append(_Step(forms, decode=body.decode))
                forms = ""
            else:
                forms += body.form
        if forms:
            steps.append(_Step(forms))
        return steps

    def _plan(self, key: int | bytes, end: int, size: int) -> _Plan:
        nulls = self._nulls(key, end, size)
        present = [body for body, null in zip(self._bodies, nulls, strict=True) if not null]
        compiled = []
        for step in self._steps(nulls):
            layout = struct.Struct("<" + step.forms)
            compiled.append((layout.unpack_from if step.forms else None, layout.size, step.text, step.decode))
        fixups = tuple(
            (place, body.convert)
            for place, body in enumerate(present)
            if body.convert is not None and body.convert is not finite
        )
        plan = tuple(compiled), fixups, tuple(place for place, null in enumerate(nulls) if null)
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        self._plans[key] = plan
        return plan

    def _skip_plan(self, key: int | bytes, end: int, size: int) -> _SkipPlan:
        compiled = []
        for step in self._steps(self._nulls(key, end, size)):
            length = struct.calcsize("<" + step.forms)
            unpack = struct.Struct(f"<{length - 2}xH").unpack_from if step.text else None
            compiled.append((length, unpack, step.decode))
        if len(self._skips) >= MOST_PLANS:
            self._skips.clear()
        plan = tuple(compiled)
        self._skips[key] = plan
        return plan

"""Which of the two is running: the compiled core, or the Python code that says the same.

The Python code is the reference, and complete. The core (the sources are in the folder ``core``) does the same
for what is common, and leaves the rest, errors above all, to the reference. It is missing where nothing could be
compiled, and not used where ``SPGREPL_PURE_PYTHON`` is set to anything but 0.
"""

from __future__ import annotations

import importlib
import os
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

VARIABLE = "SPGREPL_PURE_PYTHON"
"""The environment variable that forces the Python code."""

_INTERFACE = 8
"""Raised together with that of the core when a function of it changes: an older build may still lie around."""


class CompiledTexts(Sequence[bytes | None]):
    """The texts of the records of a batch, each made when it is asked for; not a base of the class of the core."""

    @abstractmethod
    def __setitem__(self, index: int, text: bytes, /) -> None:
        """Put another text in the place of one."""

    @abstractmethod
    def part(self, first: int, stop: int, /) -> CompiledTexts:
        """The texts from one to before another."""

    @abstractmethod
    def containing(self, byte: bytes, stop: int, /) -> list[int]:
        """The indices below `stop` of those that hold a byte."""

    @abstractmethod
    def framed(self, first: int, stop: int, /) -> bytes:
        """The records from one to before another, each as a frame of its own."""

    @abstractmethod
    def ending(self, end: bytes, /) -> list[int]:
        """The indices of those that end so."""


class CompiledRowTaker(Protocol):
    """The preupdate hook of the core; see `spgrepl.primary.changes.row_taker`."""

    @property
    def unfit(self) -> bool:
        """Whether something of a group has to be written down in another way."""

    def take(self, change: Any, /) -> None:
        """SQLite is about to change a row."""

    def begin(self, plan: object, operation: int, /) -> None:
        """Take the changes of one table by one operation."""

    def drop(self) -> None:
        """Take nothing any more, and forget what was taken."""

    def taken(self) -> tuple[bytes, int, int, dict[str, int]]:
        """What was taken since the last call: the records, how many, the longest's size, highest numbers."""

    def begin_group(self, plans: dict[str, object], /) -> None:
        """Take what the statements of a group insert or update, of tables with plans."""

    def next(self, *_: object) -> bool:
        """A statement of the group begins; returns whether it may."""

    def refuse(self) -> None:
        """Something of the group has to be written down in another way."""

    def end_group(self) -> tuple[bytes, list[int], int, dict[str, int]]:
        """The group's records, where those of each statement end, the longest's size, highest numbers."""


class Core(Protocol):
    """The functions of the core. Where one returns None, or stops early, the reference has to go on."""

    def lzss_compress(self, data: bytes, /) -> bytes | None:
        """See `spgrepl.log.format.lzss.compress`."""

    def lzss_decompress(self, stream: bytes, limit: int, /) -> bytes | None:
        """See `spgrepl.log.format.lzss.decompress`; None for a stream that is not right."""

    def lzss_expand(self, data: bytes, at: int, left: int, window: bytearray, /) -> int:
        """See `spgrepl.log.format.lzss_stream.LzssExpander`; returns where it stopped, in front of a group."""

    def cut_records(
        self,
        data: bytes,
        at: int,
        limit: int,
        ends: array[int],
        special: list[int],
        others: dict[int, bytes | None],
        /,
    ) -> int:
        """Cut records of the common forms; returns where the first one begins that is something else."""

    @property
    def Statements(self) -> Callable[..., CompiledTexts]:
        """The type of the texts of a batch: of its data, its ends, and texts that are not part of the data.

        Where the records do not stand back to back, it is told where each text begins, too.
        """

    def known_owners(
        self, sql: CompiledTexts, first: int, stop: int, known: Mapping[bytes, Any], found: list[Any], /
    ) -> int:
        """Look up owners by first bytes; returns the index of the first record that is not settled so."""

    def cut_frames(
        self,
        data: bytes,
        at: int,
        limit: int,
        most: int,
        ends: array[int],
        begins: array[int],
        others: dict[int, bytes],
        /,
    ) -> int:
        """Take frames of records of the common forms; returns where the first begins that is something else."""

    def digest_of(self, statements: Sequence[bytes], crc: int, /) -> int:
        """Go on with the CRC-32 over ``u32 length ‖ SQL`` of statements, which are a list or its own."""

    def insert_rows(
        self, statements: list[bytes], first: int, last: int, head: bytes, count: int, /
    ) -> tuple[int, bytes]:
        """Take INSERTs that begin with a head, up to the first that is not canonical: how many, and their rows."""

    def row_texts(
        self, pieces: list[bytes], columns: list[Any], end: bytes, otherwise: Callable[[Any], str], /
    ) -> list[bytes]:
        """Write statements that have the same pieces before each of their values."""

    @property
    def RowPlan(self) -> Callable[..., object]:
        """The class of how the rows of a table are written; see `spgrepl.primary.changes.row_taker`."""

    @property
    def RowTaker(self) -> Callable[..., CompiledRowTaker]:
        """The class of the hook that writes changes down."""

    def encode_v2_all(self, statements: list[bytes], /) -> bytes | None:
        """See `spgrepl.log.format.records.encode_v2_all`; None where one is longer than a record can be."""

    def copy_rows(
        self, codes: bytes, rows: Iterator[tuple[Any, ...]], most: int, binary: bool, /
    ) -> tuple[bytes, int, tuple[Any, ...] | None]:
        """Write rows as COPY takes them, up to the first that is rare or does not fit, which is returned."""


def _load() -> tuple[Core | None, str]:
    """The core, and what to say of it."""
    if os.environ.get(VARIABLE, "") not in ("", "0"):
        return None, f"pure Python: {VARIABLE} is set"
    try:
        found = importlib.import_module("spgrepl._core")
    except ModuleNotFoundError:
        return None, "pure Python: nothing was compiled"
    except ImportError as error:
        return None, f"pure Python: the compiled core cannot be loaded: {error}"
    if getattr(found, "INTERFACE", None) != _INTERFACE:
        return None, "pure Python: the compiled core is of another version, install this one again"
    return cast("Core", found), "compiled core"


CORE, IMPLEMENTATION = _load()
"""The core, None where the Python code runs; and which of them it is, and why, in words."""

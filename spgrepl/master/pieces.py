"""Judged pieces of a log, and what a filter makes of one: frames of what is published, counts of the rest."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from operator import sub

import attrs

from spgrepl.publications.changes import changes_in
from spgrepl.publications.definitions import TableFilter
from spgrepl.publications.owner import CONTROL_OWNER, DDL_OWNER, Owner, OwnerKind
from spgrepl.publications.statements import CatalogChange
from spgrepl.wal.parser import RecordBatch
from spgrepl.wal.transaction_walk import Revoked
from spgrepl.wire.frames import encode_skip, encode_wal_header

_LENGTHS_KEPT = 4096
_HEADERS = [encode_wal_header(length) for length in range(_LENGTHS_KEPT)]
_YES, _NO = b"\x01", b"\x00"
_MOST_SIFTED = 64
_NOT_DML = frozenset({DDL_OWNER, CONTROL_OWNER})


class Reason(enum.Enum):
    """Why bytes of the log were not forwarded; the value is its name in the status."""

    OTHER_TABLE = "other_table"
    DDL = "ddl"
    CONTROL = "control"
    ROLLED_BACK = "rolled_back"
    UNKNOWN_PUBLICATION = "unknown_publication"


_REASONS = {OwnerKind.DDL: Reason.DDL, OwnerKind.CONTROL: Reason.CONTROL, OwnerKind.DML: Reason.OTHER_TABLE}


@attrs.frozen
class KnownUnit:
    """A transaction whose end is known.

    Attributes:
        start: Where it begins.
        end: The position behind the record that ends it.
        revoked: What of it was taken back.
    """

    start: int
    end: int
    revoked: tuple[Revoked, ...]


@attrs.frozen
class Sifted:
    """What a filter makes of a run of records.

    Attributes:
        lead: How many bytes of the log are passed over before the first record that is forwarded.
        frames: WAL frames, with SKIP frames between them: it begins and ends with a WAL frame, or is empty.
        trail: How many bytes are passed over behind the last one; where nothing is forwarded all are `lead`.
        records: How many records are forwarded.
        passed_over: Those that are not, by reason.
    """

    lead: int
    frames: bytes
    trail: int
    records: int
    passed_over: Mapping[Reason, int]


@attrs.define(eq=False, slots=False)
class Piece:
    """Whole records of a log, between two positions up to which everything may be given out.

    Attributes:
        batch: The records.
        owners: What each of them changes.
        revoked: Where records stand that never took effect; in rising order.
        unit: The transaction that goes on behind this piece; None where the piece ends between two units.
    """

    batch: RecordBatch
    owners: list[Owner]
    revoked: tuple[Revoked, ...] = ()
    unit: KnownUnit | None = None
    _sifted: dict[tuple[TableFilter, int, int], Sifted] = attrs.field(factory=dict, init=False)

    @property
    def start(self) -> int:
        """The position of its first byte."""
        return self.batch.position

    @property
    def end(self) -> int:
        """The position behind its last byte."""
        return self.batch.end

    @cached_property
    def changes(self) -> list[tuple[int, CatalogChange]]:
        """The changes of the catalogue that took effect, each with the index of its record."""
        void = {index for low, high in self._void for index in range(low, high)}
        return [(index, change) for index, change in changes_in(self.batch) if index not in void]

    def sift(self, wanted: TableFilter, first: int = 0, stop: int | None = None) -> Sifted:
        """Take what a filter accepts; what was found is kept for others with the same filter.

        Args:
            wanted: The filter.
            first: The index of the first record to look at.
            stop: The index behind the last one; all by default.
        """
        last = len(self.owners) if stop is None else stop
        known = self._sifted.get((wanted, first, last))
        if known is None:
            if len(self._sifted) >= _MOST_SIFTED:
                self._sifted.clear()
            known = self._sifted[wanted, first, last] = self._sift(wanted, first, last)
        return known

    # -- sifting ----------------------------------------------------------------------------------------------

    def _sift(self, wanted: TableFilter, first: int, stop: int) -> Sifted:
        owners = self.owners[first:stop]
        there = set(owners)
        accepted = {owner: owner.kind is OwnerKind.DML and wanted.accepts(owner.tables) for owner in there}
        mask = bytearray(map(accepted.__getitem__, owners)) if any(accepted.values()) else bytearray(len(owners))
        for start, end in self._void:
            low, high = max(start, first) - first, min(end, stop) - first
            if low < high:
                mask[low:high] = bytes(high - low)
        return self._frames(mask, first, stop, there)

    def _frames(self, mask: bytearray, first: int, stop: int, there: set[Owner]) -> Sifted:
        parts: list[bytes] = []
        lead = taken = forwarded = 0
        done = begin = self._offset(first)
        for low, high in _runs(mask):
            start, end = self._offset(first + low), self._offset(first + high)
            if not parts:
                lead = start - done
            elif start > done:
                parts.append(encode_skip(start - done))
            parts += self._framed[first + low : first + high]
            taken += high - low
            forwarded += end - start
            done = end
        size = self._offset(stop) - begin
        passed_over = self._count(first, stop, size - forwarded, there)
        if not parts:
            return Sifted(size, b"", 0, 0, passed_over)
        return Sifted(lead, b"".join(parts), begin + size - done, taken, passed_over)

    def _count(self, first: int, stop: int, rest: int, there: set[Owner]) -> Mapping[Reason, int]:
        """Say why `rest` bytes of a run are not forwarded; only the records that are not plain are looked at."""
        counts: Counter[Reason] = Counter()
        if there & _NOT_DML:
            for index, owner in enumerate(self.owners[first:stop], first):
                if owner in _NOT_DML:
                    counts[_REASONS[owner.kind]] += self._length(index)
        for low, high in self._void:
            for index in range(max(low, first), min(high, stop)):
                if self.owners[index] not in _NOT_DML:
                    counts[Reason.ROLLED_BACK] += self._length(index)
        other = rest - sum(counts.values())
        if other:
            counts[Reason.OTHER_TABLE] = other
        return counts

    def _offset(self, index: int) -> int:
        """Where the record of an index begins in the batch's bytes; for its length, their end."""
        return self.batch.ends[index - 1] if index else 0

    def _length(self, index: int) -> int:
        return self._offset(index + 1) - self._offset(index)

    @cached_property
    def _framed(self) -> list[bytes]:
        """Each record as a whole WAL frame."""
        data, ends = self.batch.data, self.batch.ends
        lengths = list(map(sub, ends, [0, *ends[:-1]]))
        if max(lengths) < _LENGTHS_KEPT:
            return [_HEADERS[length] + data[end - length : end] for length, end in zip(lengths, ends, strict=True)]
        return [
            encode_wal_header(length) + data[end - length : end] for length, end in zip(lengths, ends, strict=True)
        ]

    @cached_property
    def _void(self) -> list[tuple[int, int]]:
        """The records that never took effect, as ranges of indices."""
        position, ends = self.batch.position, self.batch.ends
        starts = [0, *ends[:-1]]
        found = []
        for one in self.revoked:
            low = bisect_left(starts, one.start - position)
            high = bisect_left(starts, one.end - position)
            if low < high:
                found.append((low, high))
        return found


def _runs(mask: bytearray) -> Iterator[tuple[int, int]]:
    """The ranges of a mask that are set."""
    low = mask.find(_YES)
    while low >= 0:
        high = mask.find(_NO, low)
        if high < 0:
            yield low, len(mask)
            return
        yield low, high
        low = mask.find(_YES, high)

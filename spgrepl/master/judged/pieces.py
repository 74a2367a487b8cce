"""Judged pieces of a log, and what a filter makes of one: frames of what is published, counts of the rest."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property

import attrs

from spgrepl.catalogue.changes import changes_in
from spgrepl.catalogue.definitions import TableFilter
from spgrepl.catalogue.owners.owner import CONTROL_OWNER, DDL_OWNER, Owner, OwnerKind
from spgrepl.catalogue.statements import CatalogChange
from spgrepl.compiled.texts import is_compiled
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.transactions.groups import Revoked
from spgrepl.log.transactions.steps import all_alone
from spgrepl.rows.origins import origins_in
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.wire.frames import encode_skip, encode_wal_header

_YES, _NO = b"\x01", b"\x00"
_MOST_SIFTED = 64
_NOT_DML = frozenset({DDL_OWNER, CONTROL_OWNER})


class _Headers(dict[int, bytes]):
    """The headers of WAL frames by the length of the record; those of nearly all records were made before."""

    def __missing__(self, length: int) -> bytes:
        return encode_wal_header(length)


_HEADERS = _Headers((length, encode_wal_header(length)) for length in range(4096))


class Reason(enum.Enum):
    """Why bytes of the log were not forwarded; the value is its name in the status."""

    OTHER_TABLE = "other_table"
    DDL = "ddl"
    CONTROL = "control"
    ROLLED_BACK = "rolled_back"
    UNKNOWN_PUBLICATION = "unknown_publication"
    OWN_ORIGIN = "own_origin"


_REASONS = {OwnerKind.DDL: Reason.DDL, OwnerKind.CONTROL: Reason.CONTROL, OwnerKind.DML: Reason.OTHER_TABLE}


@attrs.frozen
class KnownUnit:
    """A transaction whose end is known.

    Attributes:
        start: Where it begins.
        end: The position after the record that ends it.
        revoked: What of it was taken back.
    """

    start: int
    end: int
    revoked: tuple[Revoked, ...]


@attrs.frozen
class Sifted:
    """What a filter makes of a run of records.

    Attributes:
        lead: How many bytes of the log are skipped before the first record that is forwarded.
        frames: WAL frames, with SKIP frames between them: it begins and ends with a WAL frame, or is empty.
        trail: How many bytes are skipped after the last one; where nothing is forwarded all are `lead`.
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
        unit: The transaction that goes on after this piece; None where the piece ends between two units.
    """

    batch: RecordBatch
    owners: list[Owner]
    revoked: tuple[Revoked, ...] = ()
    unit: KnownUnit | None = None
    _sifted: dict[tuple[TableFilter, int, int, int | None], Sifted] = attrs.field(factory=dict, init=False)

    @property
    def start(self) -> int:
        """The position of its first byte."""
        return self.batch.position

    @property
    def end(self) -> int:
        """The position after its last byte."""
        return self.batch.end

    @cached_property
    def changes(self) -> list[tuple[int, CatalogChange]]:
        """The changes of the catalogue that took effect, each with the index of its record."""
        void = self._void_indices()
        return [(index, change) for index, change in changes_in(self.batch) if index not in void]

    def sift(
        self,
        wanted: TableFilter,
        first: int = 0,
        stop: int | None = None,
        reader: int | None = None,
        rows_from: int | None = None,
    ) -> Sifted:
        """Take what a filter accepts; what was found is kept for others with the same filter.

        Args:
            wanted: The filter.
            first: The index of the first record to look at.
            stop: The index after the last one; all by default.
            reader: The cluster id of who gets them, without the rows that originated there.
            rows_from: From which position on the log holds rows; None where it holds statements, which state no
                origin: a client of an SPG server may end its statements with any comment.
        """
        last = len(self.owners) if stop is None else stop
        # Readers of whom there is nothing share what was found.
        stated = rows_from is not None and rows_from < self.end
        reader = reader if stated and reader in self._origins.values() else None
        begin = first if reader is None or rows_from is None else max(first, self._index_of(rows_from))
        known = self._sifted.get((wanted, first, last, reader))
        if known is None:
            if len(self._sifted) >= _MOST_SIFTED:
                self._sifted.clear()
            known = self._sifted[wanted, first, last, reader] = self._sift(wanted, first, last, reader, begin)
        return known

    def reasons(self, wanted: TableFilter, first: int, stop: int) -> list[Reason | None]:
        """Say of each record of a run why a filter does not take it; None for those that it takes.

        Args:
            wanted: The filter.
            first: The index of the first record.
            stop: The index after the last one.
        """
        mask, void = self._mask(wanted, first, stop, set(self.owners[first:stop])), self._void_indices()
        return [
            None if mask[index - first] else self._reason(self.owners[index], index in void)
            for index in range(first, stop)
        ]

    @staticmethod
    def _reason(owner: Owner, void: bool) -> Reason:
        return Reason.ROLLED_BACK if void and owner not in _NOT_DML else _REASONS[owner.kind]

    def _void_indices(self) -> set[int]:
        return {index for low, high in self._void for index in range(low, high)}

    @cached_property
    def rows_from(self) -> int | None:
        """The position of the record that says that rows begin; None where it is not among these."""
        sql = self.batch.sql
        # It is not DML, so it is special.
        at = next((index for index in self.batch.special if sql[index] == ROWS_FROM_HERE), None)
        return None if at is None else self.batch.start_of(at)

    # -- sifting ----------------------------------------------------------------------------------------------

    def _index_of(self, position: int) -> int:
        """The index of the first record that does not start before a position."""
        offset = position - self.batch.position
        return 0 if offset <= 0 else 1 + bisect_left(self.batch.ends, offset, 0, len(self.batch) - 1)

    def _sift(self, wanted: TableFilter, first: int, stop: int, reader: int | None, rows: int) -> Sifted:
        there = set(self.owners[first:stop])
        mask = self._mask(wanted, first, stop, there)
        own = 0
        if reader is not None:
            for index, origin in self._origins.items():
                if origin == reader and rows <= index < stop and mask[index - first]:
                    mask[index - first] = 0
                    own += self._length(index)
        return self._frames(mask, first, stop, there, own)

    @cached_property
    def _origins(self) -> dict[int, int]:
        """Where rows originated that came by a subscription, by the record's index."""
        return origins_in(self.batch.sql)

    def _mask(self, wanted: TableFilter, first: int, stop: int, there: set[Owner]) -> bytearray:
        """Which records of a run are forwarded."""
        accepted = {owner: owner.kind is OwnerKind.DML and wanted.accepts(owner.tables) for owner in there}
        if any(accepted.values()) != all(accepted.values()):
            mask = bytearray(map(accepted.__getitem__, self.owners[first:stop]))
        else:
            mask = bytearray((all(accepted.values()),)) * (stop - first)
        for start, end in self._void:
            low, high = max(start, first) - first, min(end, stop) - first
            if low < high:
                mask[low:high] = bytes(high - low)
        return mask

    def _frames(self, mask: bytearray, first: int, stop: int, there: set[Owner], own: int) -> Sifted:
        parts: list[bytes] = []
        lead = taken = forwarded = 0
        done = begin = self._offset(first)
        for low, high in _runs(mask):
            start, end = self._offset(first + low), self._offset(first + high)
            if not parts:
                lead = start - done
            elif start > done:
                parts.append(encode_skip(start - done))
            self._add_frames(parts, first + low, first + high)
            taken += high - low
            forwarded += end - start
            done = end
        size = self._offset(stop) - begin
        passed_over = self._count(first, stop, size - forwarded, there, own)
        if not parts:
            return Sifted(size, b"", 0, 0, passed_over)
        return Sifted(lead, b"".join(parts), begin + size - done, taken, passed_over)

    def _add_frames(self, parts: list[bytes], first: int, stop: int) -> None:
        """Add a run of records as WAL frames, in parts: for each record the frame's header, and itself."""
        if is_compiled(self.batch.sql):
            parts.append(self.batch.sql.framed(first, stop))
            return
        data, add, start = self.batch.data, parts.append, self._offset(first)
        for end in self.batch.ends[first:stop]:
            add(_HEADERS[end - start])
            add(data[start:end])
            start = end

    def _count(self, first: int, stop: int, rest: int, there: set[Owner], own: int) -> Mapping[Reason, int]:
        """Say why `rest` bytes of a run are not forwarded, `own` of them because of where they originated.

        Only the records that are not plain are looked at.
        """
        counts: Counter[Reason] = Counter({Reason.OWN_ORIGIN: own} if own else {})
        for owner in there & _NOT_DML:
            theirs = (index for index, one in enumerate(self.owners[first:stop], first) if one is owner)
            counts[_REASONS[owner.kind]] = sum(map(self._length, theirs))
        void = (index for low, high in self._void for index in range(max(low, first), min(high, stop)))
        rolled_back = sum(self._length(index) for index in void if self.owners[index] not in _NOT_DML)
        other = rest - sum(counts.values()) - rolled_back
        if rolled_back:
            counts[Reason.ROLLED_BACK] = rolled_back
        if other:
            counts[Reason.OTHER_TABLE] = other
        return counts

    def _offset(self, index: int) -> int:
        """Where the record of an index begins in the batch's bytes; for its length, their end."""
        return self.batch.ends[index - 1] if index else 0

    def _length(self, index: int) -> int:
        return self._offset(index + 1) - self._offset(index)

    @cached_property
    def _void(self) -> list[tuple[int, int]]:
        """The records that never took effect, as ranges of indices."""
        if not self.revoked:
            return []
        position, ends = self.batch.position, self.batch.ends
        starts = [0, *ends[:-1]]
        found: list[tuple[int, int]] = []
        for one in self.revoked:
            low = bisect_left(starts, one.start - position)
            high = bisect_left(starts, one.end - position)
            if low < high:
                found += _without(low, high, all_alone(self.batch, low, high))
        return found


def _without(low: int, high: int, others: list[int]) -> Iterator[tuple[int, int]]:
    """A range without some of its indices, as ranges."""
    for index in [*others, high]:
        if low < index:
            yield low, index
        low = index + 1


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

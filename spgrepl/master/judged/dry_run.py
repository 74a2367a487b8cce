"""What a master would give a subscriber of a log file, record by record, without a connection. Blocking."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from spgrepl.catalogue.owners.owner import Owner, OwnerJudge
from spgrepl.errors import LocalFilesDamaged, RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.reader import iterate_records
from spgrepl.log.transactions.groups import DEFAULT_CHOICES, TransactionChoices
from spgrepl.master.judged.cutting import PieceCutter, work_through
from spgrepl.master.judged.pieces import KnownUnit, Reason
from spgrepl.master.judged.selection import Selection
from spgrepl.text.quantities import number_of


@attrs.frozen
class JudgedRecords:
    """Records that stand back to back in a log, and what becomes of them.

    Attributes:
        batch: Where they are.
        owners: What each record of the batch changes.
        first: The index of the first one.
        reasons: For each of them why it is not forwarded, None where it is; None for all where the transaction
            that they belong to has not ended, or cannot be read to its end.
    """

    batch: RecordBatch
    owners: list[Owner]
    first: int
    reasons: list[Reason | None] | None


class LogTrial:
    """Goes through a log as a master does for one subscriber.

    Args:
        path: The log.
        file: The log, opened.
        selection: What is asked for.
        max_record: The most bytes of SQL or payload that a record may have.
        choices: What is done about transactions that the log cannot tell.

    Attributes:
        length: How long the log is, or was when this began.
        position: The position after what was given out.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        selection: Selection,
        max_record: int,
        choices: TransactionChoices = DEFAULT_CHOICES,
    ) -> None:
        self._path = path
        self._handle = file.fileno()
        self._selection = selection
        self._max_record = max_record
        self.length = os.fstat(self._handle).st_size
        self.position = 0
        self._cutter = PieceCutter(lambda: self.length, max_record, choices=choices)

    def start_at(self, position: int, boundary: int) -> None:
        """Begin at a position instead of 0.

        Args:
            position: The position.
            boundary: A position between two units.

        Raises:
            LocalFilesDamaged: The log ends before it.
            StartInsideRecord: No record starts there.
            RecordError: The log is damaged after it.
        """
        if position > self.length:
            raise LocalFilesDamaged(
                f"{self._path} is {number_of(self.length, 'byte')} long and ends before position "
                f"{position}: a master would turn the subscriber away, whose log is another one, or was truncated"
            )
        self.position = position
        if position not in (0, boundary, self.length):
            work_through(self._cutter.look_ahead(position, boundary), self._read)

    def given_out(self) -> Iterator[JudgedRecords]:
        """Go through all that a master would not hold back.

        Raises:
            RecordError: The log is damaged; what stands in front of that, outside of its transaction, was yielded.
        """
        unit: KnownUnit | None = None
        while self.position < self.length:
            piece = work_through(self._cutter.build(self.position, unit), self._read)
            if piece is None:
                return
            for wanted, first, stop in self._selection.parts(piece):
                found = piece.reasons(wanted, first, stop)
                named = [None if reason is None else self._selection.named(reason) for reason in found]
                yield JudgedRecords(piece.batch, piece.owners, first, named)
            self.position, unit = piece.end, piece.unit

    def held_back(self, stop: int | None = None) -> Iterator[JudgedRecords]:
        """Go through the whole records of a transaction that has not ended, after what was given out.

        Args:
            stop: Where the log is at fault; its end by default.
        """
        judge = OwnerJudge()
        stop = self.length if stop is None else stop
        # A record that is damaged is for the caller to name, who has read as far.
        with contextlib.suppress(RecordError):
            for batch in iterate_records(self._path, self.position, self._max_record, stop):
                yield JudgedRecords(batch, judge.owners(batch), 0, None)

    def _read(self, start: int, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            part = os.pread(self._handle, size, start)
            if not part:
                raise LocalFilesDamaged(f"{self._path} ends at {start}: it was truncated while it was read")
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return b"".join(parts)

"""Where the transactions of a log begin and end, and what of them was taken back, without keeping any of it.

Replay leaves savepoints to the database. Whoever hands the log on record by record has to know them: what stands
between SAVEPOINT and ROLLBACK TO never happened.
"""

from __future__ import annotations

import attrs

from spgrepl.errors import RecordError
from spgrepl.sqltext import significant_tokens
from spgrepl.wal.parser import RecordBatch
from spgrepl.wal.records import RecordType
from spgrepl.wal.transactions import StatementKind, may_hide_transaction, statement_kind
from spgrepl.wal.units import is_balanced, is_separable, pieces_of, records_to_look_at

MAX_SAVEPOINTS = 10_000
"""How many savepoints may be set at once."""


@attrs.frozen
class Revoked:
    """Records that never took effect: those that start in a range of positions.

    Attributes:
        start: The first position.
        end: The position behind the last record, that of the ROLLBACK itself.
    """

    start: int
    end: int


class TransactionWalk:
    """Follows the transactions of a log from batch to batch.

    Args:
        begin: Where an open transaction has begun; None outside of one.

    Attributes:
        begin: Where the open transaction begins; None outside of one.
        revoked: What was taken back so far, in rising order; ranges do not overlap.
    """

    def __init__(self, begin: int | None = None) -> None:
        self.begin = begin
        self.revoked: list[Revoked] = []
        self._implicit = False
        self._savepoints: list[tuple[str, int]] = []

    def walk(self, batch: RecordBatch, until_closed: bool = False) -> int:
        """Take records that follow those of the last call.

        Args:
            batch: The records.
            until_closed: Whether to stop behind the record that ends the open transaction.

        Returns:
            How many records were taken.

        Raises:
            RecordError: A record cannot be put on either side of a transaction's end, or sets more savepoints than
                are followed. The records in front of it were taken.
        """
        for index in records_to_look_at(batch, len(batch)):
            steps = self.steps(batch, index)
            if not steps:
                continue
            for kind, sql in steps:
                self._step(kind, sql, batch, index)
            if until_closed and self.begin is None:
                return index + 1
        return len(batch)

    def steps(self, batch: RecordBatch, index: int) -> list[tuple[StatementKind, bytes]]:
        """What a record does to transactions.

        Raises:
            RecordError: It cannot be put on either side of a transaction's end.
        """
        sql = batch.sql[index]
        if sql is None:
            return []
        kind = statement_kind(sql)
        single = b";" not in sql or batch.types.get(index) is RecordType.MYSQL
        if single or (kind is StatementKind.PLAIN and not may_hide_transaction(sql)):
            return [(kind, sql)] if _is_of_transactions(kind) else []
        pieces = pieces_of(sql)
        if is_balanced(pieces) and self.begin is None:
            return []
        if not is_separable(pieces):
            raise RecordError(
                "one record both begins or ends a transaction and holds statements outside of it",
                batch.start_of(index),
            )
        return [piece for piece in pieces if _is_of_transactions(piece[0])]

    def _step(self, kind: StatementKind, sql: bytes, batch: RecordBatch, index: int) -> None:
        if kind is StatementKind.BEGIN:
            if self.begin is None or self._implicit:
                self._open(batch.start_of(index), implicit=False)
        elif kind is StatementKind.SAVEPOINT:
            start = batch.start_of(index)
            if self.begin is None:
                self._open(start, implicit=True)
            if len(self._savepoints) >= MAX_SAVEPOINTS:
                raise RecordError(f"more than {MAX_SAVEPOINTS} savepoints are set at once", start)
            self._savepoints.append((_savepoint_name(sql), start))
        elif self.begin is None:
            return
        elif kind is StatementKind.COMMIT:
            self._close()
        elif kind is StatementKind.ROLLBACK:
            self._revoke(self.begin, batch.start_of(index + 1))
            self._close()
        else:
            self._to_savepoint(kind, _savepoint_name(sql), batch.start_of(index + 1))

    def _open(self, start: int, implicit: bool) -> None:
        self.begin = start
        self._implicit = implicit
        self._savepoints = []

    def _close(self) -> None:
        self.begin = None
        self._savepoints = []

    def _to_savepoint(self, kind: StatementKind, name: str, end: int) -> None:
        """ROLLBACK TO keeps the savepoint itself, RELEASE does not."""
        at = next((n for n in range(len(self._savepoints) - 1, -1, -1) if self._savepoints[n][0] == name), None)
        if kind is StatementKind.ROLLBACK_TO:
            assert self.begin is not None
            # One that is not known was set before the place where this walk began.
            self._revoke(self.begin if at is None else self._savepoints[at][1], end)
            del self._savepoints[0 if at is None else at + 1 :]
        elif at is not None:
            del self._savepoints[at:]
            if self._implicit and not self._savepoints:
                self._close()

    def _revoke(self, start: int, end: int) -> None:
        while self.revoked and self.revoked[-1].start >= start:
            self.revoked.pop()
        self.revoked.append(Revoked(start, end))


def _is_of_transactions(kind: StatementKind) -> bool:
    return kind is not StatementKind.PLAIN and kind is not StatementKind.CONTROL


def first_step(batch: RecordBatch) -> StatementKind | None:
    """What the first record of a batch that begins, ends or divides a transaction does; None without such a one.

    Raises:
        RecordError: That record cannot be put on either side of a transaction's end.
    """
    walk = TransactionWalk()
    for index in records_to_look_at(batch, len(batch)):
        steps = walk.steps(batch, index)
        if steps:
            return steps[0][0]
    return None


def _savepoint_name(sql: bytes) -> str:
    """The name in SAVEPOINT a, RELEASE [SAVEPOINT] a, ROLLBACK [TRANSACTION] TO [SAVEPOINT] a: the last word."""
    tokens = significant_tokens(sql.decode("utf-8", "replace"))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        return ""
    # SQLite compares them without regard to case.
    return (tokens[-1].name or tokens[-1].text).lower()

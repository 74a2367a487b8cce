"""The changes of the catalogue that records of a log state, and the publications that they leave behind."""

from __future__ import annotations

import re

from spgrepl.publications.definitions import Publications
from spgrepl.publications.statements import CatalogChange, parse_catalog_change
from spgrepl.wal.parser import RecordBatch
from spgrepl.wal.records import RecordType
from spgrepl.wal.transaction_walk import TransactionWalk
from spgrepl.wal.transactions import StatementKind, statement_kind
from spgrepl.wal.units import pieces_of

_OF_THE_CATALOGUE = re.compile(rb"PUBLICATION|SUBSCRIPTION", re.IGNORECASE)


def changes_in(batch: RecordBatch) -> list[tuple[int, CatalogChange]]:
    """Find the changes of publications and subscriptions in some records, each with the index of its record.

    Whether they took effect, and were not rolled back, is for the caller to know. A statement that cannot be read
    changes nothing.
    """
    # One look at all of them settles it for nearly every batch.
    if _OF_THE_CATALOGUE.search(b"\n".join([batch.sql[index] or b"" for index in batch.special])) is None:
        return []
    return [
        (index, change)
        for index in batch.special
        for change in _changes_of(batch.sql[index], batch.types.get(index))
    ]


def _changes_of(sql: bytes | None, kind: RecordType | None) -> list[CatalogChange]:
    if sql is None or kind is RecordType.MYSQL or _OF_THE_CATALOGUE.search(sql) is None:
        return []
    pieces = pieces_of(sql) if b";" in sql else [(statement_kind(sql), sql)]
    found = (_change_of(piece) for piece_kind, piece in pieces if piece_kind is StatementKind.CONTROL)
    return [change for change in found if change is not None]


def _change_of(sql: bytes) -> CatalogChange | None:
    try:
        return parse_catalog_change(sql.decode("utf-8"))
    except ValueError:
        return None


class CatalogWalk:
    """Follows the publications through a log.

    Args:
        publications: Those that the log begins with.
        position: Where that is, between two units.

    Attributes:
        publications: What is known of the log up to `boundary`.
        boundary: The last position between two units.
    """

    def __init__(self, publications: Publications, position: int = 0) -> None:
        self.publications = publications
        self.boundary = position
        self._walk = TransactionWalk()
        self._waiting: list[tuple[int, CatalogChange]] = []

    def walk(self, batch: RecordBatch) -> None:
        """Take records that follow those of the last call.

        Raises:
            RecordError: As `TransactionWalk.walk`.
        """
        walk = self._walk
        self._waiting += [(batch.start_of(index), change) for index, change in changes_in(batch)]
        walk.walk(batch)
        boundary = self.boundary = batch.end if walk.begin is None else walk.begin
        for start, change in self._waiting:
            if start < boundary and not any(one.start <= start < one.end for one in walk.revoked):
                self.publications = self.publications.after(change)
        self._waiting = [(start, change) for start, change in self._waiting if start >= boundary]
        walk.revoked = [one for one in walk.revoked if one.end > boundary]

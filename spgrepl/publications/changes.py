"""The changes of the catalogue that records of a log state."""

from __future__ import annotations

import re

from spgrepl.publications.statements import CatalogChange, parse_catalog_change
from spgrepl.wal.parser import RecordBatch
from spgrepl.wal.records import RecordType
from spgrepl.wal.transactions import StatementKind, statement_kind
from spgrepl.wal.units import pieces_of

_OF_THE_CATALOGUE = re.compile(rb"PUBLICATION|SUBSCRIPTION", re.IGNORECASE)


def changes_in(batch: RecordBatch) -> list[tuple[int, CatalogChange]]:
    """Find the changes of publications and subscriptions in some records, each with the index of its record.

    Whether they took effect, and were not rolled back, is for the caller to know. A statement that cannot be read
    changes nothing.
    """
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

"""Batches of records to test with."""

from __future__ import annotations

from spgrepl.log.format.parser import RecordBatch, cut_records
from spgrepl.log.format.records import RecordType, encode_v2, encode_v3


def batch(*texts: str | bytes, position: int = 0) -> RecordBatch:
    """A batch of statements in v2 records, which belong to what is open, or of whole records."""
    log = b"".join(text if isinstance(text, bytes) else encode_v2(text.encode()) for text in texts)
    found, error = cut_records(log, position)
    assert error is None
    return found


def alone(text: str) -> bytes:
    """A record that was committed by itself, whatever is open."""
    return encode_v3(RecordType.SQL, text.encode())

"""Targets that follow the transactions of a log."""

from __future__ import annotations

from fuzz.promises import Broken, equal
from spgrepl.sqltext import TokenKind, significant_tokens
from spgrepl.wal.parser import RecordBatch, RecordParser
from spgrepl.wal.records import (
    RecordType,
    encode_checkpoint,
    encode_mysql,
    encode_statement,
    encode_timed,
    encode_v1,
    encode_v2,
)
from spgrepl.wal.transactions import StatementKind, may_hide_transaction, statement_kind
from spgrepl.wal.units import MixedTransaction, Section, UnitCutter

_INSERT = b"INSERT INTO t VALUES (1)"
_WORDS = (
    encode_statement(_INSERT),
    encode_v2(_INSERT),
    encode_v2(b"BEGIN"),
    encode_v2(b"COMMIT"),
    encode_v2(b"ROLLBACK"),
    encode_v1(b"-- as a comment says\n begin;"),
    encode_v2(b"SAVEPOINT a"),
    encode_v2(b"ROLLBACK TO a"),
    encode_v2(b"RELEASE a"),
    encode_statement(b"CREATE PUBLICATION p"),
    encode_statement(b"BEGIN; DELETE FROM t"),
    encode_statement(b"DELETE FROM t; COMMIT"),
    encode_statement(b"DELETE FROM t; ROLLBACK"),
    encode_statement(b"BEGIN; DELETE FROM t; COMMIT"),
    encode_statement(b"UPDATE t SET a = '; the end'"),
    encode_statement(b"CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; SELECT 1; END"),
    encode_mysql(_INSERT),
    encode_timed(RecordType.TRANSACTION, 1, None, b"DELETE FROM t;\nDELETE FROM t"),
    encode_checkpoint(0),
)


def units(data: bytes) -> None:
    """Cut any sequence of records into units, in batches of every size: the same rows must be committed."""
    size, words = (data[0] % 8 + 1, data[1:65]) if data else (1, b"")
    log = [_WORDS[word % len(_WORDS)] for word in words]
    first, *others = [committed(log, step) for step in (len(log) + 1, size, 1)]
    for other in others:
        equal("committed", other, first)


def committed(log: list[bytes], size: int) -> tuple[list[bytes], int | None]:
    """What an engine holds after a log in batches of some records, and the record at which replay stops."""
    copy, cutter = _Copy(), UnitCutter()
    for first in range(0, len(log), size):
        records = log[first : first + size]
        try:
            copy.take(cutter.cut(_batch(records), len(records)), first)
        except MixedTransaction as mixed:
            # As replay does: it reads the log again from where it stands, up to the record that it refuses.
            refused, again = first + mixed.index, UnitCutter()
            records = log[copy.position : refused]
            if records:
                copy.pending.clear()
                copy.take(again.cut(_batch(records), len(records)), copy.position)
            return copy.committed, refused
        if cutter.open != (copy.position < first + len(records)):
            raise Broken(f"open: {cutter.open}, at {copy.position} of {first + len(records)}")
    return copy.committed, None


def _batch(log: list[bytes]) -> RecordBatch:
    parser = RecordParser()
    parser.feed(b"".join(log))
    batch = parser.next_batch()
    assert batch is not None
    return batch


class _Copy:
    """An engine that holds statements instead of rows."""

    def __init__(self) -> None:
        self.committed: list[bytes] = []
        self.pending: list[bytes] = []
        self.position = 0

    def take(self, sections: list[Section], first: int) -> None:
        done = 0
        for section in sections:
            if section.stop <= done:
                raise Broken(f"a section ends at {section.stop}, behind one that ends at {done}")
            done = section.stop
            if section.rolled_back:
                self.pending = []
            work, taken = section.work, 0
            for control in work.controls:
                self.pending += [*work.statements[taken : control.before], control.sql]
                taken = control.before
            self.pending += work.statements[taken:]
            if section.complete:
                self.committed += self.pending
                self.pending, self.position = [], first + done


def transactions(data: bytes) -> None:
    """Ask of any bytes what they mean to a transaction, and ask the tokenizer too."""
    found = statement_kind(data)
    may_hide_transaction(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    equal("kind", found, _kind_by_tokens(text))


_KINDS = {
    "BEGIN": StatementKind.BEGIN,
    "START TRANSACTION": StatementKind.BEGIN,
    "COMMIT": StatementKind.COMMIT,
    "END": StatementKind.COMMIT,
    "ROLLBACK TO": StatementKind.ROLLBACK_TO,
    "ROLLBACK TRANSACTION TO": StatementKind.ROLLBACK_TO,
    "ROLLBACK WORK TO": StatementKind.ROLLBACK_TO,
    "ROLLBACK": StatementKind.ROLLBACK,
    "ABORT": StatementKind.ROLLBACK,
    "SAVEPOINT": StatementKind.SAVEPOINT,
    "RELEASE": StatementKind.RELEASE,
    **{
        f"{verb} {noun}": StatementKind.CONTROL
        for verb in ("CREATE", "DROP", "ALTER", "SHOW")
        for noun in ("PUBLICATION", "PUBLICATIONS", "SUBSCRIPTION", "SUBSCRIPTIONS")
    },
    "SET EFFECTIVE_WAL_LEVEL": StatementKind.CONTROL,
    "SHOW EFFECTIVE_WAL_LEVEL": StatementKind.CONTROL,
    "WAIT FOR WAL": StatementKind.CONTROL,
}


def _kind_by_tokens(text: str) -> StatementKind:
    tokens = significant_tokens(text)
    while tokens and tokens[0].text == ";":
        del tokens[0]
    # Bytes have capitals for ASCII only, as keywords do.
    words = [token.text.encode().upper().decode() if token.kind is TokenKind.WORD else ";" for token in tokens[:3]]
    for count in (3, 2, 1):
        kind = _KINDS.get(" ".join(words[:count]))
        if kind is not None:
            return kind
    return StatementKind.PLAIN

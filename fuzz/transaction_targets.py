"""Targets that follow the transactions of a log."""

from __future__ import annotations

from itertools import accumulate

from fuzz.promises import Broken, equal
from spgrepl.log.format.parser import RecordBatch, RecordParser
from spgrepl.log.format.records import (
    RecordType,
    encode_checkpoint,
    encode_mysql,
    encode_statement,
    encode_timed,
    encode_v1,
    encode_v2,
)
from spgrepl.log.transactions.held import held_work
from spgrepl.log.transactions.units import UnitCutter
from spgrepl.log.transactions.words import StatementKind, may_hide_transaction, statement_kind
from spgrepl.log.transactions.work import Control, NotFollowed, Section, Work
from spgrepl.text.sqltext import TokenKind, significant_tokens

_INSERT = b"INSERT INTO t VALUES (1)"
_WORDS = (
    encode_statement(_INSERT),
    encode_v2(_INSERT),
    encode_v2(b"BEGIN"),
    encode_v2(b"COMMIT AND CHAIN"),
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
    copy, cutter = _Copy(log), UnitCutter()
    for first in range(0, len(log), size):
        records = log[first : first + size]
        try:
            copy.take(cutter.cut(_batch(log, first, first + size), len(records)), first)
        except NotFollowed as not_followed:
            # As replay does: it reads the log again from where it stands, up to the record that it refuses.
            refused, again = first + not_followed.index, UnitCutter()
            if copy.opened_by is not None:
                again.reset(copy.opened_by)
                opened = copy.starts.index(copy.opened_by)
                again.skim(_batch(log, opened, copy.position))
            if refused > copy.position:
                copy.pending.clear()
                rest = _batch(log, copy.position, refused)
                copy.take(again.cut(rest, len(rest)), copy.position)
            return copy.committed, refused
        if cutter.streams != (copy.position < first + len(records)):
            raise Broken(f"streams: {cutter.streams}, at {copy.position} of {first + len(records)}")
    return copy.committed, None


def _batch(log: list[bytes], first: int, stop: int) -> RecordBatch:
    parser = RecordParser(sum(map(len, log[:first])))
    parser.feed(b"".join(log[first:stop]))
    batch = parser.next_batch()
    assert batch is not None
    return batch


class _Copy:
    """An engine that holds statements instead of rows."""

    def __init__(self, log: list[bytes]) -> None:
        self.committed: list[bytes] = []
        self.pending: list[bytes] = []
        self.position = 0
        self.opened_by: int | None = None
        self.starts = [0, *accumulate(map(len, log))]
        self._log = log

    def take(self, sections: list[Section], first: int) -> None:
        done = 0
        for section in sections:
            if section.stop <= done:
                raise Broken(f"a section ends at {section.stop}, after one that ends at {done}")
            done = section.stop
            if section.undo:
                self.pending = []
            self._run(section.work, first)
            if section.complete:
                self.committed += self.pending
                self.pending, self.position, self.opened_by = [], first + done, section.opened_by

    def _run(self, work: Work, first: int) -> None:
        taken = 0
        for event in sorted([*work.controls, *work.settled], key=lambda one: (one.before, one.record)):
            self.pending += work.statements[taken : event.before]
            taken = event.before
            if isinstance(event, Control):
                self.pending.append(event.sql)
                continue
            opened = self.starts.index(event.group.opened_by)
            for index in range(opened, first + event.record + 1):
                self._run(held_work(_batch(self._log, index, index + 1), event.group.begin, event.revoked), index)
        self.pending += work.statements[taken:]


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

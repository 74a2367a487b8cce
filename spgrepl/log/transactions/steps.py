"""What a record does to transactions: the one place that says it (PROTOCOL section 1).

A record of type 0x01 or 0x03 was committed by itself where it stands, whatever is open beside it; so was one of
types 0x10 and 0x12. Statements in records of the formats v1 and v2, and of type 0x04, belong to what is open.
Words such as BEGIN count in whatever record they stand.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from spgrepl.compiled.texts import with_semicolon
from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.words import StatementKind, may_hide_transaction, statement_kind
from spgrepl.text.sqltext import TokenKind, fold_ascii, significant_tokens, split_statements

_V3 = 0xC0
_ALONE = frozenset({RecordType.SQL, RecordType.COMPRESSED, RecordType.TIMED, RecordType.TRANSACTION})
_ENDS = frozenset({StatementKind.COMMIT, StatementKind.ROLLBACK})
_BRACKETS = frozenset({StatementKind.BEGIN, StatementKind.COMMIT})
_OTHERS = frozenset({StatementKind.PLAIN, StatementKind.CONTROL})


@attrs.frozen
class Step:
    """Something that a record does to transactions.

    Attributes:
        kind: What.
        sql: The statement.
    """

    kind: StatementKind
    sql: bytes

    @property
    def chains(self) -> bool:
        """Whether an end opens the next transaction at once: COMMIT AND CHAIN, ROLLBACK AND CHAIN."""
        if self.kind not in _ENDS or b"CHAIN" not in self.sql.upper():
            return False
        tokens = significant_tokens(self.sql.decode("utf-8", "replace"))
        return [token.text.upper() for token in tokens if token.text != ";"][-2:] == ["AND", "CHAIN"]

    @property
    def savepoint(self) -> str:
        """The name in SAVEPOINT a, RELEASE [SAVEPOINT] a, ROLLBACK TO [SAVEPOINT] a: the last word."""
        tokens = significant_tokens(self.sql.decode("utf-8", "replace"))
        while tokens and tokens[-1].text == ";":
            tokens.pop()
        if not tokens:
            return ""
        last = tokens[-1]
        # SQLite takes a string for a name, too, and compares names without regard to case.
        name = last.text[1:-1].replace("''", "'") if last.kind is TokenKind.STRING else last.name
        return fold_ascii(last.text if name is None else name)


def steps_of(batch: RecordBatch, index: int, inside: bool) -> list[Step]:
    """What a record does to transactions: nothing in most cases.

    Args:
        batch: Records of a log.
        index: The record's index.
        inside: Whether a transaction is open where it stands.

    Raises:
        RecordError: It cannot be put on either side of a transaction's end.
    """
    sql = batch.sql[index]
    if sql is None:
        return []
    kind = statement_kind(sql)
    if _is_single(batch, index, sql) or (kind is StatementKind.PLAIN and not may_hide_transaction(sql)):
        return [] if kind in _OTHERS else [Step(kind, sql)]
    pieces = pieces_of(sql)
    if is_balanced(pieces) and (not inside or stands_alone(batch, index)):
        return []
    if not is_separable(pieces):
        raise RecordError(
            "one record both begins or ends a transaction and holds statements outside of it",
            batch.start_of(index),
        )
    return [Step(kind, piece) for kind, piece in pieces if kind not in _OTHERS]


def contents_of(batch: RecordBatch, index: int) -> list[bytes]:
    """The statements of a record, without those that begin, end or divide transactions."""
    sql = batch.sql[index]
    if sql is None:
        return []
    kind = statement_kind(sql)
    if _is_single(batch, index, sql) or (kind is StatementKind.PLAIN and not may_hide_transaction(sql)):
        return [sql] if kind in _OTHERS else []
    pieces = pieces_of(sql)
    kinds = {kind for kind, _ in pieces}
    if len(pieces) > 1 and kinds & _BRACKETS and kinds <= _BRACKETS | _OTHERS:
        return [piece for kind, piece in pieces if kind in _OTHERS]
    # What rolls back some of itself is one statement: which of it took effect is for the reader to know.
    return [sql] if kinds & _OTHERS else []


def controls_of(batch: RecordBatch, index: int) -> list[bytes]:
    """The statements of a record that are replication's own; none in a record of the MySQL dialect."""
    sql = batch.sql[index]
    if sql is None or batch.types.get(index) is RecordType.MYSQL:
        return []
    pieces = pieces_of(sql) if b";" in sql else [(statement_kind(sql), sql)]
    return [piece for kind, piece in pieces if kind is StatementKind.CONTROL]


def _is_single(batch: RecordBatch, index: int, sql: bytes) -> bool:
    """Whether a record is one statement. One of the MySQL dialect is: its strings end elsewhere than SQLite's."""
    return b";" not in sql or batch.types.get(index) is RecordType.MYSQL


def stands_alone(batch: RecordBatch, index: int) -> bool:
    """Whether a record takes effect where it stands, whatever is open; one without SQL does not count."""
    start = batch.ends[index - 1] if index else 0
    return batch.data[start + 3] >= _V3 and batch.data[start + 8] in _ALONE


def is_alone(record: bytes) -> bool:
    """Whether a record, as it stands in a log, takes effect where it does, whatever is open."""
    return len(record) > 8 and record[3] >= _V3 and record[8] in _ALONE


def all_alone(batch: RecordBatch, first: int, stop: int) -> list[int]:
    """The indices of the records of a run that take effect where they stand, whatever is open."""
    if first >= stop:
        return []
    data, ends = batch.data, batch.ends
    starts = [ends[first - 1] if first else 0, *ends[first : stop - 1]]
    heads = bytes([data[start + 3] for start in starts])
    if max(heads) < _V3:
        return []
    return [
        first + number
        for number, (head, start) in enumerate(zip(heads, starts, strict=True))
        if head >= _V3 and data[start + 8] in _ALONE
    ]


def records_to_look_at(batch: RecordBatch, stop: int, skip: int | None = None) -> list[int]:
    """The indices of the records that may begin or end a transaction, or are not plain statements.

    Args:
        batch: The records.
        stop: How many of them to take.
        skip: One more index.
    """
    indices = [index for index in batch.special if index < stop]
    several = with_semicolon(batch.sql, stop)
    if several:
        known = set(indices)
        indices += [
            index for index in several if index not in known and may_hide_transaction(batch.sql[index] or b"")
        ]
        indices.sort()
    if skip is not None and skip < stop and skip not in indices:
        indices.append(skip)
        indices.sort()
    return indices


def pieces_of(sql: bytes) -> list[tuple[StatementKind, bytes]]:
    """The statements of a record, each with what it means to replay."""
    # The splitter works on text; what is not UTF-8 is one statement that the engine will refuse by name.
    try:
        texts = split_statements(sql.decode("utf-8"))
    except UnicodeDecodeError:
        return [(StatementKind.PLAIN, sql)]
    return [(statement_kind(piece), piece) for piece in (text.encode() for text in texts)]


def _transitions(pieces: list[tuple[StatementKind, bytes]]) -> Iterator[int]:
    for number, (kind, _) in enumerate(pieces):
        if kind is StatementKind.BEGIN or kind in _ENDS:
            yield number


def is_balanced(pieces: list[tuple[StatementKind, bytes]]) -> bool:
    """Whether each transaction that the statements begin is ended by them, and none else."""
    inside = False
    for number in _transitions(pieces):
        if (pieces[number][0] is StatementKind.BEGIN) == inside:
            return False
        inside = not inside
    return not inside


def is_separable(pieces: list[tuple[StatementKind, bytes]]) -> bool:
    """Whether a record only opens a transaction with its first statement, or only ends one with its last."""
    found = list(_transitions(pieces))
    if not found:
        return True
    kind = pieces[found[0]][0]
    return len(found) == 1 and found[0] == (0 if kind is StatementKind.BEGIN else len(pieces) - 1)

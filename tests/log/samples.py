"""Logs to test with: the recorded one, one record of every kind, and hypothesis strategies for more."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
from hypothesis import strategies as st

from spgrepl.log.format import records
from spgrepl.log.format.records import RecordFormat, RecordType

VECTORS = Path(__file__).parent.parent / "vectors"

MIXED_LOG = (VECTORS / "mixed.wal").read_bytes()


@attrs.frozen
class RecordedRecord:
    """A record of the recorded log, as the vector describes it."""

    format: RecordFormat
    type: RecordType
    position: int
    length: int
    sql: bytes | None
    raw: bytes


def recorded_records() -> list[RecordedRecord]:
    """The records of `MIXED_LOG`, in order."""
    found = []
    for entry in json.loads((VECTORS / "mixed.records.json").read_text()):
        layout, _, kind = entry["format"].partition("/")
        found.append(
            RecordedRecord(
                RecordFormat(layout),
                RecordType(int(kind, 16)) if kind else RecordType.SQL,
                entry["position"],
                entry["length"],
                None if entry["sql"] is None else entry["sql"].encode(),
                bytes.fromhex(entry["hex"]),
            )
        )
    return found


LONG_SQL = b"INSERT INTO t VALUES " + b", ".join(b"(%d, 'a name')" % n for n in range(40))

ONE_OF_EACH = (
    records.encode_v1(b"INSERT INTO t VALUES (1)"),
    records.encode_v2(b"BEGIN"),
    records.encode_v3(RecordType.SQL, b"update t set a = 2"),
    records.encode_checkpoint(0),
    records.encode_statement(LONG_SQL),
    records.encode_mysql(b"REPLACE INTO t VALUES (3)"),
    records.encode_mysql(LONG_SQL, compressed=True),
    records.encode_timed(RecordType.TIMED, 7, 1_700_000_000_000_000, b"DELETE FROM t"),
    records.encode_anchor(8, -1, b"base/seg_1.spg"),
    records.encode_timed(RecordType.TRANSACTION, 9, None, b"INSERT INTO t VALUES (4);\nDELETE FROM t"),
    records.encode_v2(b"COMMIT"),
    records.encode_v2(b""),
    records.encode_v1(b""),
)
"""Whole records: every format and every type, in both their forms where they have two."""

statements = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"INSERT INTO t VALUES (1)", b"begin", b"CREATE TABLE t (a)", b"Update t SET a = 1", LONG_SQL]
    ),
)

whole_records = st.one_of(
    st.sampled_from(ONE_OF_EACH),
    statements.map(records.encode_v1),
    statements.map(records.encode_v2),
    statements.map(records.encode_statement),
    st.builds(records.encode_mysql, statements, st.booleans()),
)

damaged_records = st.builds(
    lambda record, at, byte: record[: at % len(record)] + bytes((byte,)) + record[at % len(record) + 1 :],
    whole_records,
    st.integers(0, 200),
    st.integers(0, 255),
)

logs = st.lists(
    st.one_of(whole_records, whole_records, whole_records, damaged_records, st.binary(max_size=12)), max_size=12
).map(b"".join)
"""Bytes that are mostly a log: whole records, with damage and noise among them."""

any_bytes = st.one_of(logs, st.binary(max_size=300))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at places (each taken modulo the length) into pieces; some may be empty."""
    marks = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True)]


places = st.lists(st.integers(0, 1000), max_size=8)

"""The forms that canonical text has, and values that are compared bit for bit."""

from __future__ import annotations

import struct
from typing import Any

from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.values import RawText

INSERT, UPDATE, DELETE, CLEAR = ChangeKind


ROW = RowChange(INSERT, "t", ("id", "name"), (7, "x"))


FORMS = [
    (ROW, b"INSERT INTO t(id,name)VALUES(7,'x')"),
    (RowChange(UPDATE, "t", ("name",), ("y",), ("id",), (7,)), b"UPDATE t SET name='y' WHERE id=7"),
    (
        RowChange(UPDATE, "t", ("a", "b"), (None, 1.5), ("id", "part"), ("k", None)),
        b"UPDATE t SET a=NULL,b=1.5 WHERE id='k' AND part IS NULL",
    ),
    (RowChange(DELETE, "t", key=("id",), key_values=(7,)), b"DELETE FROM t WHERE id=7"),
    (RowChange(DELETE, "t", key=("rowid",), key_values=(-1,)), b"DELETE FROM t WHERE rowid=-1"),
    (RowChange(CLEAR, "t"), b"DELETE FROM t"),
    (RowChange(CLEAR, "t", origin=1), b"DELETE FROM t /* origin 0000000000000001 */"),
    (
        RowChange(INSERT, "Orders", ("order", "größe"), (b"\x00\xff", float("inf")), origin=0x0123456789ABCDEF),
        'INSERT INTO "Orders"("order","größe")VALUES(x\'00ff\',9e999) /* origin 0123456789abcdef */'.encode(),
    ),
    (
        RowChange(INSERT, "t", ("a", "b"), ("a\0b", RawText(b"\xff"))),
        b"INSERT INTO t(a,b)VALUES(CAST(x'610062' AS TEXT),CAST(x'ff' AS TEXT))",
    ),
    (
        RowChange(DELETE, "t", key=("a", "b", "c"), key_values=(None, "x", 1), one_of="rowid"),
        b"DELETE FROM t WHERE rowid=(SELECT min(rowid)FROM t WHERE a IS NULL AND b='x' COLLATE BINARY "
        b"AND c=1 AND typeof(c)='integer')",
    ),
]


def exact(value: Any) -> Any:
    """A value that equals another one only where both are the same bit for bit, and of one type."""
    if isinstance(value, tuple):
        return tuple(map(exact, value))
    return type(value), struct.pack("<d", value) if isinstance(value, float) else value

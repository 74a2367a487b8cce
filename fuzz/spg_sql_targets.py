"""Targets that read the statements of an SPG server's log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from fuzz.promises import equal
from spgrepl.errors.shown import shown_bytes, shown_sql
from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.replay import Nondeterministic, SpgReplay
from spgrepl.spgsql.typed.schema import Schema

_TABLES = (
    "CREATE TABLE t (id INT PRIMARY KEY, x TEXT, n NUMERIC(6,2), b BYTEA, at TIMESTAMPTZ, tags TEXT[], ok BOOL)",
    "INSERT INTO t (id, x, n, ok) VALUES (1, 'one', 1.5, TRUE), (2, 'two', NULL, FALSE)",
)
_ROWS = "SELECT * FROM t ORDER BY id"


def spg_sql(data: bytes) -> None:
    """Run any text on a copy: it changes rows or is refused by name, the second time as the first one."""
    dialect = Dialect.MYSQL if data[:1] == b"m" else Dialect.POSTGRESQL
    text = data.decode("utf-8", "replace")
    connection = apsw.Connection(":memory:")
    Schema(connection).ensure()

    def run(sql: str, values: Sequence[object]) -> list[Any]:
        return connection.execute(sql, tuple(values)).fetchall()  # type: ignore[arg-type]

    replay = SpgReplay(connection, Nondeterministic.STOP, run)
    for table in _TABLES:
        replay.execute(table)
    before = connection.execute(_ROWS).fetchall()
    found = []
    for _ in range(2):
        connection.execute("BEGIN")
        try:
            replay.execute(text, 0, dialect)
            rows: object = connection.execute(_ROWS).fetchall()
        except (StatementStopped, apsw.Error, ValueError) as error:
            rows = type(error)
        connection.execute("ROLLBACK")
        replay.undone()
        found.append(rows)
    equal("the second time", found[1], found[0])
    equal("undone", connection.execute(_ROWS).fetchall(), before)


def shown(data: bytes) -> None:
    """Take the passwords out of any text: as text and as bytes alike, and never the one that follows it."""
    text = data.decode("utf-8", "replace")
    equal("as bytes", shown_bytes(text.encode()).decode(), shown_sql(text))
    if "s3cr3t" not in text:
        equal("hidden", "s3cr3t" in shown_sql(f"CREATE USER u PASSWORD 's3cr3t' {text}"), False)

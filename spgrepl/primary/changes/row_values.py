"""The values of rows as a connection reads them, whatever bytes their text is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spgrepl.primary.changes.layout import TableLayout, Unwritable
from spgrepl.primary.changes.row_run import Row
from spgrepl.rows.values import RawText, RowValue
from spgrepl.text.sqltext import quote_name


def listed(layout: TableLayout) -> str:
    """SQL for each column's type and value, with text as bytes: it need not be UTF-8."""
    return ", ".join(
        f"typeof({name}), CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in map(quote_name, layout.columns)
    )


def values_of(found: Sequence[Any], codec: str) -> Row:
    """The values of a row that was read with `listed`.

    Args:
        found: What was read.
        codec: The encoding of the database's text.
    """
    return tuple(
        [
            _text_of(value, codec) if kind == "text" else value
            for kind, value in zip(found[::2], found[1::2], strict=True)
        ]
    )


def _text_of(content: bytes, codec: str) -> str | RawText:
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        return RawText(content)


def refuse_bytes(table: str, *values: RowValue) -> None:
    """Refuse what the log cannot state of a database that is not UTF-8: the bytes of a text are others there.

    Raises:
        Unwritable: One of the values is such a text.
    """
    for value in values:
        if isinstance(value, RawText) or (isinstance(value, str) and "\0" in value):
            raise Unwritable(
                f"a row of table {table} holds text with NUL, or text that is not valid Unicode, which can be "
                f"replicated in databases with the encoding UTF-8 only: store it as a blob"
            )

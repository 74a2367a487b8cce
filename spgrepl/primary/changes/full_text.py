"""Full-text indexes whose text is in another table, which they find by row numbers."""

from __future__ import annotations

from typing import Any

import apsw
import attrs

from spgrepl.text.sqltext import TokenKind, fold_ascii, quote_name, significant_tokens

_VIRTUAL_TABLES = "SELECT name, sql FROM main.sqlite_master WHERE type = 'table' AND rootpage = 0"
_ROW_NUMBERS = frozenset({"rowid", "_rowid_", "oid"})


@attrs.frozen
class _Index:
    """A full-text index whose text is elsewhere.

    Attributes:
        name: Its name.
        content: The table or view with the text.
    """

    name: str
    content: str


def numbered_tables(connection: apsw.Connection) -> frozenset[str]:
    """The tables whose row numbers full-text indexes need, though their rows are named by a key.

    Beside a primary key that is not an INTEGER, SQLite numbers rows too. Rows are replicated by their key, so
    these numbers have to be written down where an index finds its text by them.

    Args:
        connection: The database.

    Returns:
        Their names, folded as SQLite does.
    """
    rows: Any = connection.execute(_VIRTUAL_TABLES).fetchall()
    indexes = [index for name, sql in rows if (index := _index_of(name, sql)) is not None]
    contents = {fold_ascii(index.content): index.content for index in indexes}
    return frozenset(
        folded for folded, content in contents.items() if _has_numbers_beside_its_key(connection, content)
    )


def _index_of(name: str, sql: str) -> _Index | None:
    """What a virtual table is, if it is a full-text index that finds its text elsewhere by row numbers."""
    tokens = significant_tokens(sql)
    words = [token.upper for token in tokens]
    if "USING" not in words or not "".join(words[words.index("USING") + 1 :][:1]).startswith("FTS"):
        return None
    options = {
        option.text.lower(): value.text[1:-1] if value.kind is TokenKind.STRING else value.name or value.text
        for option, equal, value in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if equal.text == "="
    }
    if not options.get("content") or options.get("content_rowid", "rowid").lower() not in _ROW_NUMBERS:
        return None
    return _Index(name, options["content"])


def _has_numbers_beside_its_key(connection: apsw.Connection, table: str) -> bool:
    quoted = quote_name(table)
    listed: Any = connection.execute(f"PRAGMA main.table_list({quoted})").fetchall()
    if not any(row[0] == "main" and row[2] == "table" and not row[4] for row in listed):
        return False
    indexes: Any = connection.execute(f"PRAGMA main.index_list({quoted})").fetchall()
    return any(row[3] == "pk" for row in indexes)

"""Statements of a log as changes."""

from __future__ import annotations

from collections.abc import Iterable

from spgrepl.errors.shown import handed_sql
from spgrepl.feed.keys import TableKeys
from spgrepl.feed.units import Content, is_mark
from spgrepl.feed.values import Change, FeedKind
from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.origins import origin_of
from spgrepl.rows.recognise import Recogniser
from spgrepl.rows.values import RowValue
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.text.sqltext import significant_tokens

_KINDS = {
    ChangeKind.INSERT: FeedKind.INSERT,
    ChangeKind.UPDATE: FeedKind.UPDATE,
    ChangeKind.DELETE: FeedKind.DELETE,
    ChangeKind.CLEAR: FeedKind.CLEAR,
}


class ChangeDecoder:
    """Makes changes of statements, in the order of the log. Blocking, as `TableKeys` is.

    Args:
        keys: The keys of the tables.
        rows: Whether the log holds rows where decoding begins.

    Attributes:
        rows: Whether it does where decoding has come to.
    """

    def __init__(self, keys: TableKeys, rows: bool) -> None:
        self._keys = keys
        self._recogniser = Recogniser()
        self.rows = rows

    def refresh(self) -> None:
        """Look whether the tables have changed.

        Raises:
            EngineFailed: The database cannot be read.
        """
        self._keys.refresh()

    def decode(self, contents: Iterable[Content]) -> tuple[Change, ...]:
        """Make changes of statements; those that only say what the log holds, and other comments, are left out.

        Raises:
            EngineFailed: The keys of the tables cannot be read.
        """
        changes = []
        for content in contents:
            if is_mark(content.sql):
                self.rows = content.sql == ROWS_FROM_HERE
            elif not _says_nothing(content.sql):
                changes.append(self._decode(content))
        return tuple(changes)

    def _decode(self, content: Content) -> Change:
        sql = content.sql
        found = self._recogniser.read(sql) if self.rows and not content.mysql else None
        if found is None:
            text = handed_sql(sql.decode("utf-8", "surrogateescape"))
            # In a log of statements a comment is whatever a client wrote.
            origin = origin_of(sql) if self.rows else None
            return Change(FeedKind.STATEMENT, statement=text, origin=origin, mysql=content.mysql)
        row = found.change()
        kind = _KINDS[row.kind]
        before = after = None
        key = row.key
        if row.kind is ChangeKind.INSERT:
            after = _named(row.columns, row.values)
            key = self._keys.of_insert(row.table, row.columns)
        elif row.kind is not ChangeKind.CLEAR:
            before = _named(key, row.key_values)
            if row.kind is ChangeKind.UPDATE:
                after = before | _named(row.columns, row.values)
        changed = row.columns if row.kind is ChangeKind.UPDATE else ()
        return Change(kind, row.table, key, before, after, changed, row.one_of, row.origin)


def _named(names: tuple[str, ...], values: tuple[RowValue, ...]) -> dict[str, RowValue]:
    return dict(zip(names, values, strict=True))


def _says_nothing(sql: bytes) -> bool:
    """Whether a text is nothing but comments, such as what stands in the place of what a disk has refused."""
    if sql[:1].isalpha():
        return False
    return all(token.text == ";" for token in significant_tokens(sql.decode("utf-8", "replace")))

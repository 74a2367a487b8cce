"""What happened to one row of a table, as a value."""

from __future__ import annotations

import enum

import attrs

from spgrepl.rows.values import RowValue


class ChangeKind(enum.Enum):
    """What happened to the row."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    CLEAR = "clear"
    """The table was emptied: ``DELETE FROM t``, all rows at once."""

    def __str__(self) -> str:
        return self.value


@attrs.frozen
class RowChange:
    """One change of one row. Names are as the schema has them, without quotes.

    Which row an UPDATE or DELETE means is said by `key`. It has to name exactly one row:

    - The columns of the primary key do, in the key's order, where all of them hold a value and the key's
      collations are those of its columns.
    - Where a table has no primary key, ``rowid`` does (or ``_rowid_``, ``oid``, whichever no column has for a
      name); an INSERT then names it among its columns.
    - A primary key of a table with row numbers may hold NULL, any number of times. Such a row is named by *all*
      its stored columns with `one_of` set: rows that are alike in all of them differ in nothing but a row
      number that is not replicated, so one is as good as another. The same goes for a key whose collation tells
      apart what that of its column does not.

    Attributes:
        kind: What happened.
        table: The table's name.
        columns: INSERT: the columns that are given a value, at least one. UPDATE: those that changed, at least
            one.
        values: Their new values.
        key: UPDATE and DELETE: the columns that name the row, at least one.
        key_values: Their values before the change.
        one_of: None; or the name of the row number (``rowid``, ``_rowid_``, ``oid``): of all rows that the key
            fits, type and case included, the one with the lowest number is meant.
        origin: The id of the cluster that the change came from by a subscription; None for a change made here.
    """

    kind: ChangeKind
    table: str
    columns: tuple[str, ...] = ()
    values: tuple[RowValue, ...] = ()
    key: tuple[str, ...] = ()
    key_values: tuple[RowValue, ...] = ()
    one_of: str | None = None
    origin: int | None = None

"""What a change feed hands out: transactions, the changes that they consist of, and positions to store."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import attrs

from spgrepl.errors import UsageError
from spgrepl.rows.values import RowValue

_TEXT = re.compile(r"([0-9]{1,19})-([rs])-([0-9]{1,19})-([0-9a-f]{8})", re.ASCII)
_LIMIT = 2**63


class FeedKind(enum.Enum):
    """What a change did."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    CLEAR = "clear"
    """The table was emptied: all its rows at once, which are not told one by one."""

    STATEMENT = "statement"
    """A statement that is known by its text only: DDL, publications, ANALYZE; and every statement of a log that
    holds statements, as SPG servers and earlier versions write it."""

    def __str__(self) -> str:
        return self.value


@attrs.frozen
class Change:
    """One change.

    Attributes:
        kind: What it did.
        table: The table's name, as the schema has it; "" for statements.
        key: The columns that name the row: the primary key's, or the row number's (``rowid``) where the table has
            none. Of an INSERT, which names all columns alike, they are those that the table has for a key when the
            change is read; none where that is not known, or does not fit. See also `one_of`.
        before: The row before an UPDATE or DELETE, as far as it is known: the columns of the key. None for others.
        after: The row after an INSERT, whole but for generated columns; after an UPDATE the columns of the key and
            those that changed. None for others.
        changed: Which columns an UPDATE changed.
        one_of: None; or the name of the row number, where the key holds NULL or its collation tells too little: of
            all rows that are alike in all columns of `key`, type and case included, the change means the one with
            the lowest number. Any of them will do, since the number is not replicated.
        origin: The id of the cluster from which the row came by a subscription; None for the log's own.
        statement: The text of a statement; "" for rows. Bytes that are not UTF-8 become lone
            surrogates, as the error handler ``surrogateescape`` makes them. Passwords of users and of connections
            are ``***`` in it; see `spgrepl.errors.shown.handed_sql`.
        mysql: Whether a statement is written in the MySQL dialect.
    """

    kind: FeedKind
    table: str = ""
    key: tuple[str, ...] = ()
    before: Mapping[str, RowValue] | None = None
    after: Mapping[str, RowValue] | None = None
    changed: tuple[str, ...] = ()
    one_of: str | None = None
    origin: int | None = None
    statement: str = ""
    mysql: bool = False


@attrs.frozen
class FeedPosition:
    """A place in a log between two transactions, with what shows that a log is the same one.

    `str` makes a text to store, and `parse` reads it.

    Attributes:
        position: The place, in bytes, as the log's positions are counted elsewhere. For a subscription it is a
            place in the log of what was applied, and not in its master's log.
        rows: Whether the log holds rows from there on, and no statements.
        compared_from: Where the bytes before the place begin that are compared.
        crc: The CRC-32 of the log's bytes from `compared_from` up to `position`.
    """

    position: int
    rows: bool
    compared_from: int
    crc: int

    def __str__(self) -> str:
        return f"{self.position}-{'r' if self.rows else 's'}-{self.compared_from}-{self.crc:08x}"

    @classmethod
    def parse(cls, text: str) -> FeedPosition:
        """Read a position from what `str` has made of it.

        Raises:
            UsageError: It is something else.
        """
        parts = _TEXT.fullmatch(text)
        if parts is not None:
            found = cls(int(parts[1]), parts[2] == "r", int(parts[3]), int(parts[4], 16))
            if found.compared_from <= found.position < _LIMIT:
                return found
        raise UsageError(f"{text[:80]!r} is not a position of a change feed, such as 1234-r-722-0a1b2c3d")


class FeedStart(enum.Enum):
    """Where a feed may begin that has no stored position."""

    BEGINNING = "beginning"
    """Where the log begins. For a follower that is its snapshot, for a subscription the initial copy."""

    END = "end"
    """Where the log ends at present: only what comes later is handed out."""


@attrs.frozen
class FeedTransaction:
    """A committed transaction, or a part of a long one.

    A transaction that is longer than the feed's `part_size` comes in several parts, all of them after it was
    committed. `position` is always the one to store when the value has been dealt with: in all parts but the last
    it stands before the transaction, so that a feed which begins there hands out all parts again.

    Attributes:
        position: The position to store.
        start: Where the transaction begins in the log, in bytes.
        changes: What it changed, in order.
        number: The number of the part, from 0.
        complete: Whether it is the last part.
    """

    position: FeedPosition
    start: int
    changes: tuple[Change, ...]
    number: int = 0
    complete: bool = True

    @property
    def origin(self) -> int | None:
        """The origin that all changes have in common; None where they have none, or several."""
        origins = {change.origin for change in self.changes}
        return origins.pop() if len(origins) == 1 else None

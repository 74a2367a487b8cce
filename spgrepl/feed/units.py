"""Which records of a log belong together: what was committed as one is handed out as one."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

import attrs
from zope.interface import Attribute, Interface, implementer

from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.groups import Revoked
from spgrepl.log.transactions.steps import contents_of
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE

STATEMENTS_FROM_HERE = b"/* spgrepl: statements from here on */"
"""The SQL of the record after which a log of what a subscription has applied holds statements."""

_APPLIED = re.compile(rb"/\* spgrepl: applied up to ([0-9]{1,19}) \*/")


def applied_mark(position: int) -> bytes:
    """The SQL of the record that ends what a subscription has applied as one.

    Args:
        position: How far the subscription has come with it, in its master's log.
    """
    return b"/* spgrepl: applied up to %d */" % position


def applied_position(sql: bytes | None) -> int | None:
    """Read a position from what `applied_mark` makes; None where it is something else."""
    found = None if sql is None else _APPLIED.fullmatch(sql)
    return None if found is None else int(found[1])


@attrs.frozen
class Content:
    """A statement of a transaction.

    Attributes:
        sql: Its text in UTF-8.
        mysql: Whether it is in the MySQL dialect.
        alone: Whether it was committed by itself, whatever was open where it stands.
    """

    sql: bytes
    mysql: bool = False
    alone: bool = False


class IUnits(Interface):
    """Follows a log record by record."""

    begin = Attribute("Where the transaction begins that is open; None where none is.")

    marks = Attribute("Whether each record has to be taken, and not only those that may end a transaction.")

    def take(batch: RecordBatch, index: int) -> bool:
        """Take a record, which follows those that were taken before.

        Returns:
            Whether a transaction that was open before has ended with it.

        Raises:
            RecordError: It cannot be put on either side of a transaction's end.
        """

    def content(batch: RecordBatch, index: int) -> list[Content]:
        """What a record holds besides the beginning and the end of transactions; to be asked for at any time."""

    def take_revoked() -> Sequence[Revoked]:
        """What was rolled back of the transaction that has ended: in rising order, without overlaps."""


@implementer(IUnits)
class TransactionUnits:
    """The log of a database: BEGIN and COMMIT, and single records outside of them."""

    def __init__(self) -> None:
        self._walk = TransactionWalk()

    @property
    def marks(self) -> bool:
        """See `IUnits`: inside a transaction it matters whether a record belongs to it."""
        return self._walk.group is not None

    @property
    def begin(self) -> int | None:
        """See `IUnits`."""
        return self._walk.begin

    def take(self, batch: RecordBatch, index: int) -> bool:
        """See `IUnits`."""
        before = self._walk.group
        self._walk.take(batch, index)
        # A COMMIT AND CHAIN ends nothing here: a position after it would be one inside of a transaction.
        return before is not None and self._walk.group is None

    def content(self, batch: RecordBatch, index: int) -> list[Content]:
        """See `IUnits`."""
        return content_of(batch, index)

    def take_revoked(self) -> Sequence[Revoked]:
        """See `IUnits`."""
        revoked, self._walk.revoked = self._walk.revoked, []
        return revoked


@implementer(IUnits)
class AppliedUnits:
    """The log of what a subscription has applied: a mark after each piece."""

    marks = True

    def __init__(self) -> None:
        self.begin: int | None = None

    def take(self, batch: RecordBatch, index: int) -> bool:
        """See `IUnits`."""
        if applied_position(batch.sql[index]) is None:
            if self.begin is None:
                self.begin = batch.start_of(index)
            return False
        ended, self.begin = self.begin is not None, None
        return ended

    def content(self, batch: RecordBatch, index: int) -> list[Content]:
        """See `IUnits`."""
        return [] if applied_position(batch.sql[index]) is not None else content_of(batch, index)

    def take_revoked(self) -> Sequence[Revoked]:
        """See `IUnits`: a master sends nothing that was rolled back."""
        return ()


def content_of(batch: RecordBatch, index: int) -> list[Content]:
    """The statements of a record, without those that begin, end or divide transactions."""
    mysql = batch.types.get(index) is RecordType.MYSQL
    return [Content(sql, mysql) for sql in contents_of(batch, index)]


def is_revoked(revoked: Sequence[Revoked], position: int) -> bool:
    """Whether the record that starts at a position was rolled back."""
    at = bisect_right(revoked, position, key=lambda one: one.start) - 1
    return at >= 0 and position < revoked[at].end


def is_mark(sql: bytes) -> bool:
    """Whether a statement says what the log holds from there on."""
    return sql in (ROWS_FROM_HERE, STATEMENTS_FROM_HERE)

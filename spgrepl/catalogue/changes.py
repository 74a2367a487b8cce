"""The changes of the catalogue that records of a log state, and the publications that they leave behind."""

from __future__ import annotations

import re
from bisect import bisect_right
from operator import attrgetter

from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import CatalogChange, parse_catalog_change
from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.transactions.groups import Group, Judge, refuse
from spgrepl.log.transactions.steps import controls_of, stands_alone
from spgrepl.log.transactions.walk import TransactionWalk

MAX_CHANGES = 100_000
"""How many changes of publications and subscriptions one transaction may hold."""

_OF_THE_CATALOGUE = re.compile(rb"PUBLICATION|SUBSCRIPTION", re.IGNORECASE)


def changes_in(batch: RecordBatch) -> list[tuple[int, CatalogChange]]:
    """Find the changes of publications and subscriptions in some records, each with the index of its record.

    Whether they took effect, and were not rolled back, is for the caller to know. A statement that cannot be read
    changes nothing.
    """
    # One look at all of them settles it for nearly every batch.
    if _OF_THE_CATALOGUE.search(b"\n".join([batch.sql[index] or b"" for index in batch.special])) is None:
        return []
    return [
        (index, change)
        for index in batch.special
        if _OF_THE_CATALOGUE.search(batch.sql[index] or b"") is not None
        for change in map(_change_of, controls_of(batch, index))
        if change is not None
    ]


def _change_of(sql: bytes) -> CatalogChange | None:
    try:
        return parse_catalog_change(sql.decode("utf-8"))
    except ValueError:
        return None


class CatalogWalk:
    """Follows the publications through a log.

    Args:
        publications: Those that the log begins with.
        position: Where that is, between two units.
        judge: Says what becomes of transactions that were open at the same time and ended in different ways, where
            one of them changes publications.
        group: The transactions that are open where it begins, after `position`; None without any.

    Attributes:
        publications: What is known of the log up to `boundary`.
        boundary: The last position between two units.
    """

    def __init__(
        self,
        publications: Publications,
        position: int = 0,
        judge: Judge = refuse,
        group: Group | None = None,
    ) -> None:
        self.publications = publications
        self.boundary = position
        self._judge = judge
        self._walk = TransactionWalk(judge=self._takes_effect)
        self._walk.group = group
        self._end = position
        self._waiting: list[tuple[int, CatalogChange, bool]] = []

    def walk(self, batch: RecordBatch) -> None:
        """Take records that follow those of the last call.

        Raises:
            RecordError: As `TransactionWalk.walk`; or a transaction changes the catalogue too often.
        """
        walk = self._walk
        self._waiting += [
            (batch.start_of(index), change, stands_alone(batch, index)) for index, change in changes_in(batch)
        ]
        walk.walk(batch)
        self._end = batch.end
        self._apply_ended()

    @property
    def begin(self) -> int | None:
        """Where the transactions begin that are open; None without any."""
        return self._walk.begin

    def drop(self) -> None:
        """Take the transactions for dead that are open after the records that were taken."""
        self._walk.drop(self._end)
        self._apply_ended()

    def plain_group(self) -> Group | None:
        """The transactions that are open, where there is no more to know of them than that; else None."""
        walk = self._walk
        plain = not self._waiting and not walk.revoked and not walk.savepoints
        return walk.group if plain and walk.group is not None and not walk.group.implicit else None

    def _apply_ended(self) -> None:
        """Let changes take effect whose transactions have ended."""
        walk = self._walk
        boundary = self.boundary = self._end if walk.begin is None else walk.begin
        for start, change, alone in self._waiting:
            if start < boundary and (alone or not self._is_revoked(start)):
                self.publications = self.publications.after(change)
        self._waiting = [one for one in self._waiting if one[0] >= boundary]
        if len(self._waiting) > MAX_CHANGES:
            raise RecordError(
                f"one transaction changes publications and subscriptions more than {MAX_CHANGES} times", boundary
            )
        walk.revoked = [one for one in walk.revoked if one.end > boundary]

    def _takes_effect(self, group: Group, position: int) -> bool:
        waits = any(start >= group.begin and not alone for start, _, alone in self._waiting)
        return self._judge(group, position) if waits else True

    def _is_revoked(self, start: int) -> bool:
        """Whether the record that starts at a position was rolled back."""
        at = bisect_right(self._walk.revoked, start, key=attrgetter("start")) - 1
        return at >= 0 and start < self._walk.revoked[at].end

"""What the publications that somebody asks for select from a log, while the publications change in it."""

from __future__ import annotations

from collections.abc import Iterator

from spgrepl.catalogue.definitions import NO_TABLE, Publications, TableFilter
from spgrepl.master.judged.pieces import Piece, Reason


class Selection:
    """The filter of one subscriber, piece after piece.

    Args:
        names: The publications that are asked for; none at all means every table.

    Attributes:
        unknown: Those that do not exist, which add nothing.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.unknown: tuple[str, ...] = ()
        self._names = names
        self._publications = Publications()
        self._known_from = 0
        self._filter = NO_TABLE

    def begin(self, publications: Publications, position: int) -> None:
        """Take the publications as they are at a position, the handshake's; they hold for all in front of it."""
        self._known_from = position
        self._use(publications)

    def _use(self, publications: Publications) -> None:
        self._publications = publications
        self._filter, self.unknown = publications.filter_for(self._names)

    def parts(self, piece: Piece) -> Iterator[tuple[TableFilter, int, int]]:
        """The filters for a piece, each with the indices of its first record and after its last one.

        Changes of the publications take effect where they stand.
        """
        first = 0
        for index, change in piece.changes:
            if piece.batch.start_of(index) >= self._known_from:
                yield self._filter, first, index + 1
                first = index + 1
                self._use(self._publications.after(change))
        if first < len(piece.owners):
            yield self._filter, first, len(piece.owners)

    def named(self, reason: Reason) -> Reason:
        """Why something was skipped: tables that nobody could ask for are those of unknown publications."""
        nothing_known = len(self.unknown) == len(self._names) > 0
        return Reason.UNKNOWN_PUBLICATION if nothing_known and reason is Reason.OTHER_TABLE else reason

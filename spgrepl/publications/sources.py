"""Where a master learns the publications from."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from spgrepl.publications.definitions import Publications


class ICatalogSource(Interface):
    """Tells the publications that a log and its database hold."""

    def load() -> Deferred[tuple[Publications, int]]:
        """Look the publications up as they are now.

        Returns:
            A Deferred of the publications and of the position in the log that they stand at: one between two
            units (outside any transaction), not behind the log's whole records, and close to its end. It fails
            with a `SpgReplError` where they cannot be known.
        """

"""The database of a running server, as whoever compares it sees it. Blocking."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import attrs

from spgrepl.comparing.ends import ComparedEnd, Standing
from spgrepl.comparing.table_reader import Key, KeyRange, Layout, Row, Sum, TableReader
from spgrepl.errors import ConfigurationError, EngineFailed, UsageError
from spgrepl.server.comparing import values
from spgrepl.server.status.client import StatusAddress, ask

_PATIENCE = 600.0
"""A checksum of a range, or a wait for a lock, may take long."""


class RemoteEnd(ComparedEnd):
    """A database at a running server.

    Args:
        address: Where the server answers: its control socket, or its site with the token that it wants.
        seconds: For how long it may be held.

    Raises:
        ServerUnreachable: Nobody answers there.
        UsageError: The server compares nothing, or wants a token.
        EngineFailed: Its database cannot be read.
    """

    def __init__(self, address: StatusAddress, seconds: float) -> None:
        self._address = address
        self._seconds = seconds
        self._session = ""
        opened = self.do("open")
        if not {"session", "kind"} <= opened.keys():
            raise UsageError(f"{address} has no database that can be compared")
        self._session = str(opened["session"])
        self.reader = RemoteReader(self, str(opened["kind"]))

    def __str__(self) -> str:
        return str(self._address)

    def do(self, what: str, **more: Any) -> dict[str, Any]:
        """Have the server carry out an order.

        Args:
            what: The order.
            more: What belongs to it.
        """
        order = json.dumps({"do": what, "session": self._session, **more})
        code, answer = ask(self._address, "/compare", _PATIENCE, order)
        if code == 200:
            return answer
        said = f"{self._address}: {answer.get('error', f'the answer has the code {code}')}"
        if code in (404, 405):
            raise UsageError(f"{self._address} has no database that can be compared")
        if code in (400, 401, 403, 413, 415):
            raise UsageError(said)
        raise ConfigurationError(said) if code == 409 else EngineFailed(said)

    def see(self) -> None:
        """See `ComparedEnd`."""
        self.do("see")

    def stands(self) -> Standing:
        """See `ComparedEnd`."""
        return values.standing_from_json(self.do("stands"))

    def look(self) -> int:
        """See `ComparedEnd`."""
        return int(self.do("look")["position"])

    def leave(self) -> None:
        """See `ComparedEnd`."""
        self.do("leave")

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """See `ComparedEnd`."""
        self.do("hold", seconds=self._seconds)
        try:
            yield
        finally:
            self.do("release")

    def close(self) -> None:
        """See `ComparedEnd`."""
        self.do("close")


class RemoteReader(TableReader):
    """Has a server read its tables.

    Args:
        end: Asks it.
        kind: What its database is.
    """

    def __init__(self, end: RemoteEnd, kind: str) -> None:
        self._end = end
        self.kind = kind

    def layouts(self, names: Collection[str] | None = None) -> dict[str, Layout]:
        """See `TableReader`."""
        given = None if names is None else list(names)
        found = [values.layout_from_json(one) for one in self._end.do("layouts", names=given)["tables"]]
        return {layout.name: layout for layout in found}

    def fit(self, layout: Layout) -> Layout | str:
        """See `TableReader`."""
        found = self._end.do("fit", table=values.layout_to_json(layout))
        return str(found["unlike"]) if found["unlike"] else values.layout_from_json(found["table"])

    def count(self, layout: Layout) -> int:
        """See `TableReader`."""
        return int(self._end.do("count", table=values.layout_to_json(layout))["rows"])

    def stops(self, layout: Layout, within: KeyRange) -> Iterator[Key]:
        """See `TableReader`."""
        while True:
            found = self._ask("stops", layout, within)
            for one in found["keys"]:
                stop = values.row_from_json(one)
                assert stop is not None
                within = attrs.evolve(within, above=stop)
                yield stop
            if not found["more"]:
                return

    def sums(self, layout: Layout, ranges: Sequence[KeyRange]) -> list[Sum]:
        """See `TableReader`."""
        given = [values.range_to_json(one) for one in ranges]
        found = self._end.do("sums", table=values.layout_to_json(layout), ranges=given)
        return [(int(rows), str(checksum)) for rows, checksum in found["sums"]]

    def read(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        """See `TableReader`."""
        after, more = 0, True
        while more:
            found = self._ask("rows", layout, one, after=after)
            rows = [row for given in found["rows"] if (row := values.row_from_json(given)) is not None]
            if rows:
                yield rows
            after, more = after + len(rows), bool(found["more"])

    def _ask(self, what: str, layout: Layout, one: KeyRange, **more: Any) -> dict[str, Any]:
        return self._end.do(what, table=values.layout_to_json(layout), range=values.range_to_json(one), **more)

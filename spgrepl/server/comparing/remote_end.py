"""The database of a running server, as whoever compares it sees it. Blocking."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from spgrepl.comparing.ends import ReadableEnd, Standing
from spgrepl.comparing.table_reader import Key, KeyRange, Layout, Row, TableReader
from spgrepl.errors import ConfigurationError, EngineFailed, UsageError
from spgrepl.server.comparing import values
from spgrepl.server.status.client import StatusAddress, ask

_PATIENCE = 600.0
"""A checksum of a range, or a wait for a lock, may take long."""


class RemoteEnd(ReadableEnd):
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
        self._session = str(self.do("open")["session"])
        self.reader = RemoteReader(self)

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
        if code == 404:
            raise UsageError(f"{self._address} has no database in a file that can be compared")
        if code in (400, 401, 403, 413, 415):
            raise UsageError(said)
        raise ConfigurationError(said) if code == 409 else EngineFailed(said)

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
    """

    def __init__(self, end: RemoteEnd) -> None:
        self._end = end

    def layouts(self) -> dict[str, Layout]:
        """See `TableReader`."""
        found = [values.layout_from_json(one) for one in self._end.do("layouts")["tables"]]
        return {layout.name: layout for layout in found}

    def count(self, layout: Layout) -> int:
        """See `TableReader`."""
        return int(self._end.do("count", table=values.layout_to_json(layout))["rows"])

    def cut(self, layout: Layout, within: KeyRange) -> Key | None:
        """See `TableReader`."""
        return values.row_from_json(self._ask("cut", layout, within)["key"])

    def sum(self, layout: Layout, one: KeyRange) -> tuple[int, bytes]:
        """See `TableReader`."""
        found = self._ask("sum", layout, one)
        return int(found["rows"]), bytes.fromhex(found["checksum"])

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

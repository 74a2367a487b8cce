"""How far the subscriptions of a primary have come, in agreement with its log whatever kills the process.

A primary's rows are in its log before they are in its database, and what a crash kept from the database is run
again from the log. The position of a subscription stands in the database only. So before rows of a subscription
are logged, a small file says which part of the log they will be and which state goes with them: whoever runs that
part again finds the state there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import attrs

from spgrepl.base.histories import History
from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import replace_file
from spgrepl.errors import LocalFilesDamaged
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.rows.shapes import Shape
from spgrepl.rows.values import RowValue

BroughtRow = tuple[Shape, tuple[RowValue, ...]]
"""A row that a subscription brings: what its statement is but for the values, and these."""


@attrs.frozen
class SubscriptionMark:
    """What a request says of a subscription, whose rows it carries.

    Attributes:
        name: The subscription.
        known: The state that its row has; None where it begins.
        state: The state that it is to have.
        skipped: Records that were refused: position, bytes, SQL and reason of each.
        origins: For each statement of the request the id of the cluster where its row originated, which the log
            states with it; None for those of this primary. Empty where no rows come.
        rows: For each statement the row that it changes, and its values; None where it is a statement of a user.
            Empty where no rows come.
    """

    name: str
    known: SubscriptionState | None
    state: SubscriptionState
    skipped: tuple[tuple[int, bytes, bytes, str], ...] = ()
    origins: tuple[int | None, ...] = ()
    rows: tuple[BroughtRow | None, ...] = ()


@attrs.frozen
class LoggedMark:
    """A mark whose rows stand in a part of the log.

    Attributes:
        start: Where they begin.
        end: Where they end.
        crc: The CRC-32 of the log between the two.
        name: The subscription.
        state: The state that goes with them.
    """

    start: int
    end: int
    crc: int
    name: str
    state: SubscriptionState


class MarkFile:
    """The file that says which part of the log belongs to which subscription, for the latest group of requests.

    Args:
        path: The file; see `spgrepl.disk.files.DatabasePaths.subscription_marks`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, marks: list[LoggedMark]) -> None:
        """Put marks in the place of those before, durably.

        Raises:
            OSError: The disk refuses. The file is as it was.
        """
        content = [attrs.asdict(mark) for mark in marks]
        replace_file(self._path, json.dumps(content).encode() + b"\n")

    def read(self) -> list[LoggedMark]:
        """The marks; none where there is no file.

        Raises:
            LocalFilesDamaged: The file is none that `write` wrote.
        """
        try:
            found = json.loads(read_regular(self._path))
            return [_decoded(one) for one in found]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise LocalFilesDamaged(
                f"{self._path} cannot be read ({error!r}): move it away, and make the subscriptions of this "
                f"database again where a crash came before"
            ) from error


def _decoded(value: dict[str, object]) -> LoggedMark:
    state = value["state"]
    assert isinstance(state, dict)
    before = state.get("before_copy")
    moved = SubscriptionState(
        tuple(state["publications"]),
        int(state["effective_start"]),
        int(state["position"]),
        _records(state["fence"]),
        state.get("master"),
        state.get("diverged"),
        tuple(History(**one) for one in state.get("histories", ())),
        state.get("alone_to"),
        _records(state.get("marks", ())),
        None if before is None else Mark(**before),
    )
    numbers = {name: value[name] for name in ("start", "end", "crc")}
    return LoggedMark(**numbers, name=str(value["name"]), state=moved)  # type: ignore[arg-type]


def _records(values: Iterable[dict[str, int]]) -> tuple[FenceRecord, ...]:
    return tuple(FenceRecord(int(one["position"]), int(one["crc"])) for one in values)

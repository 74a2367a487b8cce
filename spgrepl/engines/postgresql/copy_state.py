"""The state of a copy in PostgreSQL, as a text in the table of copies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from spgrepl.base.histories import histories_of, histories_values
from spgrepl.errors import LocalFilesDamaged
from spgrepl.interfaces.engine import Fence, Mark, ReplayState
from spgrepl.postgresql.names import SCHEMA
from spgrepl.sqlite.state import decode_notes, encode_notes


def text_of(state: ReplayState, rows: bool, counts: Sequence[object] = ()) -> str:
    """What there is to store of a state beside its position and base.

    Args:
        state: The state.
        rows: Whether the log holds rows there.
        counts: What was approximated; see `SpgLog.counts`.
    """
    fence = state.fence
    return json.dumps(
        {
            "fence": None if fence is None else [fence.start, fence.crc],
            "pair": state.pair,
            "marks": [attrs.astuple(mark) for mark in state.marks],
            "diverged": state.diverged,
            "histories": histories_values(state.histories),
            "rows": rows,
            "transactions": encode_notes(state.notes),
            "approximated": counts,
        }
    )


def state_of(position: int, base: int, text: str) -> tuple[ReplayState, bool, list[list[Any]]]:
    """The state that was stored, whether the log holds rows there, and what was approximated.

    Raises:
        LocalFilesDamaged: It is not what `text_of` makes.
    """
    try:
        values = json.loads(text)
        fence = values["fence"]
        state = ReplayState(
            int(position),
            int(base),
            None if fence is None else Fence(*map(int, fence)),
            values["pair"],
            tuple(Mark(*map(int, mark)) for mark in values["marks"]),
            values["diverged"],
            histories_of(values.get("histories", ())),
            decode_notes(values.get("transactions")),
        )
        return state, bool(values["rows"]), list(values.get("approximated", ()))
    except (ValueError, TypeError, KeyError) as error:
        raise LocalFilesDamaged(
            f"the row of the copy in the table {SCHEMA}.copies cannot be read ({error!r}); restore it"
        ) from error

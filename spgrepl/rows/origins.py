"""Where a row that came by a subscription originated: the comment that stands after its statement."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spgrepl.compiled.texts import ending_with

_ORIGIN = re.compile(rb" /\* origin ([0-9a-f]{16}) \*/\Z")
_LENGTH = len(b" /* origin 0123456789abcdef */")
_END = b" */"


def origin_of(sql: bytes) -> int | None:
    """The id of the cluster where a row originated; None where the statement does not say so.

    Args:
        sql: One statement, as `spgrepl.rows.render` writes it or as anybody else does.
    """
    found = _ORIGIN.search(sql, max(0, len(sql) - _LENGTH)) if sql.endswith(_END) else None
    return None if found is None else int(found[1], 16)


def origins_in(statements: Sequence[bytes | None]) -> dict[int, int]:
    """The origins that statements state, by the statement's index."""
    found = ((index, origin_of(statements[index] or b"")) for index in ending_with(statements, _END))
    return {index: origin for index, origin in found if origin is not None}

"""What takes effect of a log, by the letter of the protocol: written for itself, and slow."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

ENDS = (b"COMMIT", b"ROLLBACK")


@attrs.frozen
class Effects:
    """What a log means.

    Attributes:
        order: The indices of the records that have taken effect, in the order in which they did.
        ambiguous: The index of the record at which nothing can tell; what stands before has been judged.
        begin: The index of the record that opened what is open at the end.
    """

    order: list[int]
    ambiguous: int | None
    begin: int | None


def effects(log: Sequence[tuple[bytes, bool]]) -> Effects:
    """Judge records: the statement of each, and whether it is of a type that was committed by itself."""
    order: list[int] = []
    held: list[int] = []
    ends: set[bytes] = set()
    count, begin = 0, None
    for index, (sql, alone) in enumerate(log):
        if sql == b"BEGIN":
            if count == 0:
                begin, held, ends = index, [], set()
            count += 1
        elif sql in ENDS:
            if count == 0:
                continue
            ends.add(sql)
            count -= 1
            if count == 0:
                if held and len(ends) == 2:
                    return Effects(order, index, begin)
                order += held if b"COMMIT" in ends else []
                begin = None
        elif count and not alone:
            held.append(index)
        else:
            order.append(index)
    return Effects(order, None, begin)

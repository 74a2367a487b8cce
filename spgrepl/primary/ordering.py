"""LIMIT without ORDER BY: a choice of rows that each copy's query planner may make otherwise."""

from __future__ import annotations

import attrs

from spgrepl.errors import NotReplayable
from spgrepl.sqltext import Token


@attrs.define
class _Level:
    """One level of parentheses: whether its rows are put in order, and whether their order matters."""

    matters: bool
    ordered: bool = False


def refuse_unordered_limit(text: str, tokens: list[Token]) -> None:
    """Refuse a LIMIT without ORDER BY: which rows it takes is for each copy's query planner to say.

    EXISTS (… LIMIT 1) is the same whichever row it takes, and a recursive common table expression makes its rows
    in an order of its own: both are allowed.

    Raises:
        NotReplayable: There is one.
    """
    levels = [_Level(matters=True)]
    for index, token in enumerate(tokens):
        word = token.upper
        if word == "(":
            levels.append(_Level(matters=not _order_is_immaterial(tokens, index)))
        elif word == ")" and len(levels) > 1:
            levels.pop()
        elif word == "ORDER":
            levels[-1].ordered = True
        elif word == "LIMIT" and levels[-1].matters and not levels[-1].ordered:
            raise NotReplayable(
                "LIMIT without ORDER BY may take other rows on a copy: add ORDER BY with columns that tell all "
                "rows apart",
                text,
            )


def _order_is_immaterial(tokens: list[Token], opening: int) -> bool:
    before = opening - 1
    if before >= 0 and tokens[before].upper == "EXISTS":
        return True
    while before >= 0 and tokens[before].upper in ("MATERIALIZED", "NOT"):
        before -= 1
    if before < 1 or tokens[before].upper != "AS":
        return False
    name = _common_table_name(tokens, before - 1)
    return name is not None and name in _names_inside(tokens, opening)


def _common_table_name(tokens: list[Token], last: int) -> str | None:
    """The name of a common table expression, found backwards from the token before AS."""
    if tokens[last].upper == ")":
        while last > 0 and tokens[last].upper != "(":
            last -= 1
        last -= 1
    name = tokens[last].name if last >= 0 else None
    return None if name is None else name.lower()


def _names_inside(tokens: list[Token], opening: int) -> set[str]:
    names = set()
    depth = 0
    for token in tokens[opening:]:
        depth += (token.upper == "(") - (token.upper == ")")
        if depth == 0:
            break
        if token.name is not None:
            names.add(token.name.lower())
    return names

"""What columns are given and compared with whose values an SPG server makes of others by rules of its own.

A label of an ENUM may be written as a number or in other letters, a year with two digits. What is written in full
is the same everywhere: only that is let through, and values of such columns themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spgrepl.postgresql.reading.closure import Closure
from spgrepl.postgresql.reading.node_trees import Node, nodes, number, numbers, walk
from spgrepl.postgresql.tables import Choice

_TEXTS, _INTEGERS = frozenset({25, 1042, 1043}), frozenset({20, 21, 23})
_CASTS = frozenset({"int2", "int4", "int8"})
_IMPLICIT = "2"
_UPDATE, _INSERT = 2, 3
_HEADER = 4
_DEEPEST = 40
_COMPARING = frozenset({"OPEXPR", "DISTINCTEXPR", "SCALARARRAYOPEXPR"})
_OF_COMMENTS = frozenset({"joinaliasvars", "groupexprs"})
"""Fields that say what others stand for."""

Place = tuple[int, int]
_Stack = tuple[Node, ...]


def unsure_choice(closure: Closure, choices: Mapping[Place, Choice]) -> str | None:
    """Why a statement may mean something else by such columns at the master; None where it does not.

    Args:
        closure: The statement, and what the names in it mean.
        choices: The columns, each by the numbers of its table and of itself.
    """
    try:
        _Values(closure, choices).check()
    except _Unsure as error:
        return str(error)
    return None


class _Unsure(Exception):
    pass


class _Values:
    def __init__(self, closure: Closure, choices: Mapping[Place, Choice]) -> None:
        self._closure = closure
        self._choices = choices

    def check(self) -> None:
        (_, first), *others = self._closure.trees
        for place, tree in others:
            for node in walk(tree):
                columns = {one - 7 for field in ("selectedCols", "updatedCols") for one in numbers(node, field)}
                met = next((one for one in columns if (number(node, "relid"), one) in self._choices), None)
                if met is not None:
                    raise _Unsure(f"{self._choices[number(node, 'relid'), met]} ({place} names it)")
        for query in first:
            self._visit(query, ())

    # -- what is visited ------------------------------------------------------------------------------------------

    def _visit(self, node: Any, stack: _Stack) -> None:
        if isinstance(node, list):
            for one in node:
                self._visit(one, stack)
            return
        if not isinstance(node, dict):
            return
        kind = node[""]
        if kind == "QUERY":
            stack = (*stack, node)
            self._assignments(node, stack)
        elif kind == "VAR":
            self._refuse(node, stack)
        if kind == "VAR" or self._is_moved(node) or (kind in _COMPARING and self._compares(node, stack)):
            return
        for field, inner in node.items():
            if field not in _OF_COMMENTS:
                self._visit(inner, stack)

    @staticmethod
    def _is_moved(node: Node) -> bool:
        """Whether a value goes somewhere as it is, or is only looked at for NULL."""
        inner = node.get("expr" if node[""] == "TARGETENTRY" else "arg")
        return node[""] in ("TARGETENTRY", "NULLTEST") and isinstance(inner, dict) and inner[""] == "VAR"

    def _refuse(self, node: Node, stack: _Stack) -> None:
        found = next(filter(None, map(self._choice, self._ends(node, stack))), None)
        if found is not None:
            raise _Unsure(str(found))

    def _compares(self, node: Node, stack: _Stack) -> bool:
        """Whether a node compares such a column, and with nothing else than its own values."""
        sides = nodes(node, "args")
        if len(sides) != 2:
            return False
        ends = [self._elements(side, stack) for side in sides]
        found = next((one for side in ends for end in side if (one := self._choice(end)) is not None), None)
        if found is None:
            return False
        operator = self._closure.operators.get(number(node, "opno"))
        by_order = operator is not None and operator.orders and not found.labels
        # What is not equal is told by what is: <> belongs to the operator =.
        known = operator is not None and (operator.equals or by_order or self._is_unequal(operator.function))
        if not known:
            raise _Unsure(str(found))
        for side in ends:
            for end in side:
                self._fit(end, found)
        return True

    def _is_unequal(self, function: int) -> bool:
        known = self._closure.functions.get(function)
        return known is not None and known.built_in and known.name in ("textne", "int2ne", "int24ne", "int28ne")

    def _elements(self, node: Node, stack: _Stack) -> list[Any]:
        if node[""] == "ARRAYEXPR":
            return [end for one in nodes(node, "elements") for end in self._ends(one, stack)]
        return self._ends(node, stack)

    # -- what is given --------------------------------------------------------------------------------------------

    def _assignments(self, query: Node, stack: _Stack) -> None:
        entry = self._entry(query, number(query, "resultRelation"))
        conflict = query.get("onConflict")
        given = nodes(query, "targetList") if number(query, "commandType") in (_UPDATE, _INSERT) else []
        given += nodes(conflict, "onConflictSet") if isinstance(conflict, dict) else []
        for action in nodes(query, "mergeActionList"):
            given += nodes(action, "targetList")
        for target in given:
            found = self._choices.get((number(entry, "relid"), number(target, "resno")))
            if found is not None and target.get("resjunk") != "true" and isinstance(target.get("expr"), dict):
                for end in self._ends(target["expr"], stack):
                    self._fit(end, found)

    def _fit(self, end: Any, wanted: Choice) -> None:
        own = self._choice(end)
        if own is not None and own.labels == wanted.labels:
            return
        is_constant = isinstance(end, dict) and end[""] == "CONST"
        is_null = is_constant and end.get("constisnull") == "true"
        if not is_null and not (is_constant and wanted.holds(_text_of(end, bool(wanted.labels)))):
            raise _Unsure(str(wanted))

    def _choice(self, end: Any) -> Choice | None:
        return self._choices.get(end) if isinstance(end, tuple) else None

    # -- where values come from -----------------------------------------------------------------------------------

    def _ends(self, node: Node, stack: _Stack, depth: int = 0) -> list[Any]:
        """Where the values of an expression come from: columns, each by two numbers, and other expressions."""
        kind = node[""]
        if kind == "RELABELTYPE" or (kind == "FUNCEXPR" and self._is_cast(node)):
            inner = node["arg"] if kind == "RELABELTYPE" else nodes(node, "args")[0]
            return self._ends(inner, stack, depth)
        if kind == "SETTODEFAULT":
            return []  # of what is left to a default more is said elsewhere
        if kind != "VAR" or depth > _DEEPEST:
            return [node]
        inside = stack[: len(stack) - number(node, "varlevelsup")]
        return list(self._behind(node, inside, depth + 1)) if inside else [node]

    def _is_cast(self, node: Node) -> bool:
        function = self._closure.functions.get(number(node, "funcid"))
        return function is not None and function.name in _CASTS and node.get("funcformat") == _IMPLICIT

    def _behind(self, node: Node, stack: _Stack, depth: int) -> Iterator[Any]:
        entry, place = self._entry(stack[-1], number(node, "varno")), number(node, "varattno")
        relation = number(entry, "relid")
        if relation:
            whole = place == 0
            yield from (one for one in self._choices if one[0] == relation and whole)
            if not whole:
                yield (relation, place)
            return
        query = entry.get("subquery") or self._common(entry, stack)
        if isinstance(query, tuple):
            query, stack = query
        if isinstance(query, dict):
            yield from self._column(query, place, stack, depth)
            return
        rows = entry.get("values_lists")
        rows = [entry["joinaliasvars"]] if "joinaliasvars" in entry else rows
        if not isinstance(rows, list):
            yield node
            return
        for row in rows:
            yield from self._ends(row[place - 1], stack, depth)

    def _column(self, query: Node, place: int, stack: _Stack, depth: int) -> Iterator[Any]:
        if isinstance(query.get("setOperations"), dict):
            for entry in nodes(query, "rtable"):
                if isinstance(entry.get("subquery"), dict):
                    yield from self._column(entry["subquery"], place, (*stack, query), depth + 1)
            return
        listed = nodes(query, "targetList" if number(query, "commandType") == 1 else "returningList")
        yield from self._ends(listed[place - 1]["expr"], (*stack, query), depth)

    def _common(self, entry: Node, stack: _Stack) -> tuple[Node, _Stack] | None:
        name = entry.get("ctename")
        for level in range(len(stack), 0, -1):
            for one in nodes(stack[level - 1], "cteList") if name else ():
                if one.get("ctename") == name and isinstance(one.get("ctequery"), dict):
                    return one["ctequery"], stack[:level]
        return None

    @staticmethod
    def _entry(query: Node, place: int) -> Node:
        entries = nodes(query, "rtable")
        return entries[place - 1] if 0 < place <= len(entries) else {"": ""}


def _text_of(node: Node, is_text: bool) -> str:
    """The value of a constant, of a text or of a whole number; empty where it is of another type."""
    given = bytes(int(one) & 0xFF for one in node["constvalue"][2:-1])
    kind = number(node, "consttype")
    if is_text:
        return given[_HEADER:].decode() if kind in _TEXTS else ""
    if kind not in _INTEGERS:
        return ""
    return str(int.from_bytes(given[: number(node, "constlen")], "little", signed=True))

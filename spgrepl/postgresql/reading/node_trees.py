"""Node trees: how PostgreSQL writes down a statement that it has parsed, in ``pg_node_tree`` columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

Node: TypeAlias = dict[str, Any]
"""A node: its fields by name, and what it is under ``""``. A field of several values is a list."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[(){}]|(?:\\.|[^\s(){}\\])+', re.DOTALL)


def parse(text: str) -> list[Any]:
    """Read a node tree.

    Args:
        text: The tree, as the server casts it to text.

    Returns:
        What stands in it: nodes, lists, and words as texts.
    """
    top: list[Any] = []
    open_lists: list[list[Any]] = [top]
    for part in _TOKEN.findall(text):
        if part in ("(", "{"):
            inner: list[Any] = []
            open_lists.append(inner)
        elif part == ")":
            done = open_lists.pop()
            open_lists[-1].append(done)
        elif part == "}":
            node = _node(open_lists.pop())
            open_lists[-1].append(node)
        else:
            open_lists[-1].append(part)
    return top


def _node(parts: list[Any]) -> Node:
    node: Node = {"": parts[0]}
    name = ""
    values: list[Any] = []
    for part in [*parts[1:], ":"]:
        if isinstance(part, str) and part.startswith(":"):
            if name:
                node[name] = values[0] if len(values) == 1 else values
            name, values = part[1:], []
        else:
            values.append(part)
    return node


def walk(tree: Any) -> Iterator[Node]:
    """All nodes of a tree, those in nodes too."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def number(node: Node, field: str) -> int:
    """A field that is a number; 0 where there is none."""
    found = node.get(field)
    return int(found) if isinstance(found, str) and found.lstrip("-").isdigit() else 0


def numbers(node: Node, field: str) -> list[int]:
    """A field that is a list of numbers behind a letter, such as ``(o 97 664)``."""
    found = node.get(field)
    return [int(one) for one in found[1:]] if isinstance(found, list) and found else []


_TYPES = tuple(
    """
    vartype consttype funcresulttype opresulttype resulttype coalescetype casetype paramtype aggtype wintype
    array_typeid minmaxtype refrestype typeId
    """.split()
)


def type_of(node: Node) -> int:
    """The number of an expression's type; 0 where it does not stand beside it."""
    return next((found for field in _TYPES if (found := number(node, field))), 0)


def nodes(node: Node, field: str) -> list[Node]:
    """A field that is a list of nodes; empty where there is none."""
    found = node.get(field)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def of_query(query: Node) -> Iterator[Node]:
    """The nodes of a query, but those of queries in it."""
    waiting: list[Any] = list(query.values())
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if one[""] == "QUERY":
                continue
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)

"""Capital letters, and kinds of letters: which are which beyond ASCII is told by a server's locale and version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from spgrepl.postgresql.names import quoted
from spgrepl.postgresql.reading.closure import Closure, Function
from spgrepl.postgresql.reading.node_trees import Node, nodes, number, of_query, walk

_BY_LETTERS = frozenset(
    """
    lower upper initcap casefold texticlike texticnlike nameiclike nameicnlike bpchariclike bpcharicnlike
    texticregexeq texticregexne nameicregexeq nameicregexne bpcharicregexeq bpcharicregexne textregexeq textregexne
    nameregexeq nameregexne bpcharregexeq bpcharregexne textregexsubstr textregexreplace
    """.split()
)
_PATTERNS = "regexp_"
_MAKERS = frozenset({"chr", "convert_from", "convert", "unistr"})
"""Functions that make letters of what is none."""

_TEXTS = frozenset({25, 1042, 1043})
_JSON, _XML = 114, 142
_HEADER = 4
_WHOLE_ROW = 0

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, a.atttypid::bigint = 114
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = %s::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
   AND (a.attnum = ANY(%s::int[]) OR 0 = ANY(%s::int[])) AND t.typcategory NOT IN ('N', 'B', 'D', 'T')
   AND c.relkind IN ('r', 'p')
"""

Columns = Mapping[int, frozenset[int]]
"""Columns by the number of their table; 0 stands for all."""


@attrs.frozen
class Letters:
    """What of a statement depends on which letters are capitals, or letters at all.

    Attributes:
        name: A function that tells them apart.
        columns: The columns whose texts it meets; None where these may be all that the statement reads.
        beyond: Whether it meets a constant beyond ASCII.
        other_rule: Whether it has a collation of its own, by which letters may be told apart in another way.
    """

    name: str
    columns: Columns | None
    beyond: bool
    other_rule: bool


def letters_of(closure: Closure) -> Letters | None:
    """Look for what tells letters apart in a statement; None where nothing does."""
    names: list[str] = []
    columns: dict[int, set[int]] = {}
    every = beyond = other = False
    for query, node in _nodes(closure):
        for function, by in _functions(node, closure):
            if not _tells_apart(function, by):
                continue
            names.append(function.name)
            other = other or not _is_usual(by, closure)
            for met in of_query({"": "", "args": node.get("args")}):
                place = _column(query, met, closure)
                if place is not None:
                    columns.setdefault(place[0], set()).add(place[1])
                every = every or (place is None and _hides(met, closure))
                beyond = beyond or _is_beyond(met) or _makes(met, closure)
            # What an ON CONFLICT meets are the values that are inserted, and not a column's.
            every = every or query is None or id(node) in {id(one) for one in walk(query.get("onConflict"))}
    if not names:
        return None
    if every:
        beyond = beyond or any(_is_beyond(node) or _makes(node, closure) for _, node in closure.nodes())
    found = None if every else {oid: frozenset(given) for oid, given in columns.items()}
    return Letters(names[0], found, beyond, other)


def _nodes(closure: Closure) -> Iterator[tuple[Node | None, Node]]:
    """All nodes, with the query that they stand in."""
    for _, tree in closure.trees:
        found = set()
        for query in walk(tree):
            if query[""] == "QUERY":
                for node in of_query(query):
                    found.add(id(node))
                    yield query, node
        for node in walk(tree):
            if node[""] != "QUERY" and id(node) not in found:
                yield None, node


def _functions(node: Node, closure: Closure) -> Iterator[tuple[Function, int]]:
    function = closure.functions.get(number(node, "funcid") or number(node, "opfuncid"))
    if function is not None:
        yield function, number(node, "inputcollid")


def _tells_apart(function: Function, by: int) -> bool:
    # lower() of a range is its bound, and has no collation.
    known = function.name in _BY_LETTERS or function.name.startswith(_PATTERNS)
    return bool(by) and function.built_in and known


def _is_usual(by: int, closure: Closure) -> bool:
    collation = closure.collations.get(by)
    return collation is not None and (collation.default or collation.bytewise)


def _column(query: Node | None, node: Node, closure: Closure) -> tuple[int, int] | None:
    """The column of a table that a node is; None where it is none, or not certainly."""
    if query is None or node[""] != "VAR" or number(node, "varlevelsup"):
        return None
    entries = nodes(query, "rtable")
    place = number(node, "varno")
    oid = number(entries[place - 1], "relid") if 0 < place <= len(entries) else 0
    relation = closure.relations.get(oid)
    return None if relation is None or relation.kind not in "rp" else (oid, number(node, "varattno"))


def _hides(node: Node, closure: Closure) -> bool:
    """Whether texts come through a node from where it does not show."""
    if node[""] in ("VAR", "PARAM", "SUBLINK", "CASETESTEXPR", "SETTODEFAULT"):
        return True
    return any(not one.built_in for one, _ in _functions(node, closure))


def _makes(node: Node, closure: Closure) -> bool:
    return any(one.name in _MAKERS and one.built_in for one, _ in _functions(node, closure)) or any(
        number(node, field) == _XML for field in ("vartype", "funcresulttype", "resulttype", "consttype")
    )


def _is_beyond(node: Node) -> bool:
    """Whether a node is a constant with a letter beyond ASCII."""
    if node[""] != "CONST" or not isinstance(node.get("constvalue"), list):
        return False
    kind = number(node, "consttype")
    given = [int(one) for one in node["constvalue"][2:-1]]
    if number(node, "constlen") != -1 and not number(node, "constcollid"):
        return False  # a number, a date: no text
    given = given[_HEADER:] if kind in _TEXTS else given
    return any(byte < 0 for byte in given) or (kind == _JSON and ord("\\") in given)


def meets_beyond(connection: Any, letters: Letters, read: Columns) -> str | None:
    """The column whose texts have letters beyond ASCII, of those that a statement may tell apart; None for none.

    Args:
        connection: The connection, with a transaction open. The columns are read through.
        letters: What the statement tells apart.
        read: All columns that it reads.

    Raises:
        psycopg.Error: The server does not let them be read; the transaction has failed.
    """
    for oid, places in sorted((read if letters.columns is None else letters.columns).items()):
        for schema, table, column, is_json in _columns(connection, oid, places):
            text = f"{quoted(column)}::text"
            escaped = f" OR position('\\u' IN {text}) > 0" if is_json else ""
            query = (
                f"SELECT 1 FROM {quoted(schema)}.{quoted(table)} "  # nosec B608
                f"WHERE octet_length({text}) <> length({text}){escaped} LIMIT 1"
            )
            if connection.execute(query).fetchone() is not None:
                return f"{table}.{column}"
    return None


def _columns(connection: Any, oid: int, places: Iterable[int]) -> list[tuple[str, str, str, bool]]:
    given = sorted(places)
    found: list[tuple[str, str, str, bool]] = connection.execute(_COLUMNS, (oid, given, given)).fetchall()
    return found

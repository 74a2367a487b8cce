"""UPDATE … FROM: whether a row may meet several, of which PostgreSQL takes any one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spgrepl.postgresql.reading.closure import Closure
from spgrepl.postgresql.reading.node_trees import Node, nodes, number, of_query, walk
from spgrepl.text.sqltext import Token, TokenKind

_PLAIN = frozenset("rp")


def may_meet_several(query: Node, closure: Closure) -> bool:
    """Whether a row that an UPDATE changes may meet several rows, and what becomes of it is told by these.

    Args:
        query: The UPDATE.
        closure: What the names of the statement stand for.
    """
    target = number(query, "resultRelation")
    sources = [one for one in nodes(query.get("jointree") or {"": ""}, "fromlist") if _place(one) != target]
    return bool(sources) and _names_others(query, target) and not _meets_one(query, closure, target, sources)


def _place(node: Node) -> int:
    return number(node, "rtindex") if node[""] == "RANGETBLREF" else 0


def _names_others(query: Node, target: int) -> bool:
    """Whether what is set, or returned, is of other rows than those that are changed."""
    for field in ("targetList", "returningList"):
        given: Node = {"": "", field: query.get(field)}
        own = {id(node) for node in of_query(given)}
        for node in walk(given):
            here = number(node, "varlevelsup") == 0 if id(node) in own else number(node, "varlevelsup") > 0
            if node[""] == "VAR" and here and number(node, "varno") != target:
                return True
    return False


def _meets_one(query: Node, closure: Closure, target: int, sources: list[Node]) -> bool:
    """Whether each source is a table whose unique key is equal to something of rows that are known already."""
    entries = nodes(query, "rtable")
    known, waiting = {target}, {_place(one) for one in sources}
    if 0 in waiting:
        return False  # a JOIN
    pairs = list(_equalities(query["jointree"].get("quals"), closure))
    while waiting:
        found = next((one for one in waiting if _is_named(one, entries[one - 1], pairs, known, closure)), None)
        if found is None:
            return False
        waiting.remove(found)
        known.add(found)
    return True


def _is_named(place: int, entry: Node, pairs: list[tuple[Node, Node]], known: set[int], closure: Closure) -> bool:
    relation = closure.relations.get(number(entry, "relid"))
    if relation is None or relation.kind not in _PLAIN:
        return False
    columns = {
        number(one, "varattno")
        for one, other in pairs
        if _is_of(one, place) and all(number(var, "varno") in known for var in walk(other) if var[""] == "VAR")
    }
    return any(key <= columns for key in relation.keys)


def _is_of(node: Node, place: int) -> bool:
    return node[""] == "VAR" and number(node, "varno") == place and number(node, "varlevelsup") == 0


def _equalities(quals: Any, closure: Closure) -> Iterator[tuple[Node, Node]]:
    """What must be equal, both ways round."""
    if not isinstance(quals, dict):
        return
    if quals[""] == "BOOLEXPR" and quals.get("boolop") == "and":
        for one in nodes(quals, "args"):
            yield from _equalities(one, closure)
    elif quals[""] == "OPEXPR":
        operator = closure.operators.get(number(quals, "opno"))
        sides = nodes(quals, "args")
        plain = not any(node[""] in ("QUERY", "SUBLINK") for node in walk(quals))
        if operator is not None and operator.equals and len(sides) == 2 and plain:
            yield sides[0], sides[1]
            yield sides[1], sides[0]


def may_meet_own(insert: Node, source: Node, key: frozenset[int], closure: Closure) -> bool:
    """Whether two rows of an INSERT's query may have the same key, and be other rows all the same.

    Args:
        insert: The INSERT.
        source: Its query.
        key: The columns of a unique key of its table.
        closure: What the names of the statement stand for.
    """
    given = {number(one, "resno"): one for one in nodes(source, "targetList")}
    found: set[int] = set()
    others = False
    for target in nodes(insert, "targetList"):
        inner = [given.get(number(var, "varattno")) for var in walk(target) if var[""] == "VAR"]
        values = [one for one in inner if one is None or one["expr"][""] != "CONST"]
        if number(target, "resno") in key and target["expr"][""] == "VAR":
            found.update(id(one) for one in inner)
        elif values:
            others = True
    by = [one for one in given.values() if id(one) in found]
    entries = nodes(source, "rtable")
    if len(by) < len(key):
        return others or bool(entries)  # a constant in the key: all rows have it
    grouped = {number(one, "tleSortGroupRef") for one in nodes(source, "groupClause")}
    if not others or (not entries and source.get("hasTargetSRFs") != "true"):
        return False
    if grouped:
        return not grouped <= {number(one, "ressortgroupref") for one in by}
    relation = closure.relations.get(number(entries[0], "relid")) if len(entries) == 1 else None
    columns = {number(one["expr"], "varattno") for one in by if one["expr"][""] == "VAR"}
    is_keyed = relation is not None and relation.kind in _PLAIN and source.get("hasTargetSRFs") != "true"
    return not (is_keyed and relation is not None and any(one <= columns for one in relation.keys))


def meets_several(connection: Any, tokens: list[Token], text: str) -> bool:
    """Whether a row that an UPDATE … FROM changes meets several rows.

    Args:
        connection: The connection, with a transaction open.
        tokens: The statement, without blanks and comments.
        text: The statement.

    Raises:
        psycopg.Error: The server does not take the query; the transaction has failed.
    """
    query = rows_that_meet_several(tokens, text)
    # An UPDATE that is read in another way than by its words is taken for one that does.
    return query is None or connection.execute(query.encode()).fetchone() is not None


def rows_that_meet_several(tokens: list[Token], text: str) -> str | None:
    """A query that finds a row, where one that an UPDATE … FROM changes meets several.

    Args:
        tokens: The statement, without blanks and comments.
        text: The statement.

    Returns:
        The query; None where the statement is not such an UPDATE.
    """
    at = _find(tokens, 0, "UPDATE")
    to_set = None if at is None else _find(tokens, at, "SET")
    source = None if to_set is None else _find(tokens, to_set, "FROM")
    if at is None or to_set is None or source is None:
        return None
    end = _find(tokens, source, "RETURNING")
    last = len(tokens) - (tokens[-1].text == ";") if end is None else end
    where = _find(tokens, source, "WHERE")
    if where is None or where > last:
        where = last
    # Of `ONLY public.t * AS a` the last word names the row.
    name = next(one for one in reversed(tokens[at + 1 : to_set]) if one.text != "*").text
    target = text[tokens[at + 1].start : tokens[to_set].start]
    sources = text[tokens[source + 1].start : tokens[where - 1].end]
    condition = text[tokens[where].start : tokens[last - 1].end] if where < last else ""
    before = text[: tokens[at].start]
    return (
        f"{before}SELECT 1 FROM {target}, {sources}\n{condition}\n"
        f"GROUP BY {name}.tableoid, {name}.ctid HAVING count(*) > 1 LIMIT 1"
    )


def _find(tokens: list[Token], start: int, word: str) -> int | None:
    """The place of a word outside of parentheses."""
    depth = 0
    for at in range(start, len(tokens)):
        token = tokens[at]
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        # IS DISTINCT FROM compares.
        compares = word == "FROM" and at > 0 and tokens[at - 1].upper == "DISTINCT"
        if depth == 0 and token.kind is TokenKind.WORD and token.upper == word and not compares:
            return at
    return None

"""All that stands behind a statement, from the server's catalogue: views in views, functions in functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from spgrepl.postgresql import driver
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.reading.node_trees import Node, number, numbers, parse, walk

SAVEPOINT = "spgrepl_reading"
_NAME = "statement_that_is_read"
_BUILT_IN = 16384
"""Numbers from here on belong to what users have made."""

_READ = """
SAVEPOINT {savepoint};
CREATE FUNCTION {schema}.{name}({arguments}) RETURNS {result} LANGUAGE sql BEGIN ATOMIC {text}
; END;
SELECT prosqlbody::text FROM pg_catalog.pg_proc
 WHERE proname = '{name}' AND pronamespace = '{schema}'::regnamespace;
ROLLBACK TO SAVEPOINT {savepoint};
RELEASE SAVEPOINT {savepoint}
"""
_RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, r.ev_action::text, r.oid::bigint, r.xmin::text,
       (SELECT json_agg(i.indkey::smallint[]) FROM pg_index i
         WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
           AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
                            AND NOT a.attnotnull)),
       (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)),
       pg_table_is_visible(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_rewrite r ON r.ev_class = c.oid AND c.relkind = 'v' AND r.ev_type = '1'
 WHERE c.oid = ANY(%s::bigint[]::oid[])
"""
_FUNCTIONS = """
SELECT p.oid::bigint, p.proname, l.lanname, p.provolatile::text, p.prokind::text, p.pronargs,
       p.prosqlbody::text, p.prosrc, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.xmin::text,
       '{timestamptz,timetz}'::regtype[]::oid[] && (p.proargtypes::oid[] || p.prorettype),
       COALESCE(a.aggsortop <> 0, FALSE), p.proargdefaults::text
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
 WHERE p.oid = ANY(%s::bigint[]::oid[])
"""
_OPERATORS = """
SELECT o.oid::bigint, o.oprcode::oid::bigint,
       EXISTS (SELECT 1 FROM pg_amop m WHERE m.amopopr = o.oid AND m.amopmethod = 403
                AND m.amopstrategy IN (1, 2, 4, 5)),
       EXISTS (SELECT 1 FROM pg_amop m WHERE m.amopopr = o.oid AND m.amopmethod = 403 AND m.amopstrategy = 3),
       t.typcategory = 'S' OR t.typname IN ('anyarray', 'anynonarray', 'anyelement', 'record')
  FROM pg_operator o LEFT JOIN pg_type t ON t.oid = o.oprleft WHERE o.oid = ANY(%s::bigint[]::oid[])
"""
_COLLATIONS = """
SELECT oid::bigint, collname, collprovider = 'd', collisdeterministic,
       collprovider = 'b' OR (collprovider = 'c' AND lower(collcollate) IN ('c', 'posix', 'c.utf-8', 'c.utf8'))
  FROM pg_collation WHERE oid = ANY(%s::bigint[]::oid[])
"""
_MARKS = """
SELECT 'r' || oid::bigint, xmin::text FROM pg_rewrite WHERE oid = ANY(%s::bigint[]::oid[])
UNION ALL SELECT 'f' || oid::bigint, xmin::text FROM pg_proc WHERE oid = ANY(%s::bigint[]::oid[])
"""


@attrs.frozen
class Relation:
    """What a statement names with rows: a table, a view, or something else.

    Attributes:
        schema: Its schema.
        name: Its name.
        kind: The letter of ``pg_class.relkind``.
        keys: Its unique keys without NULLs, each by the numbers of its columns.
        built_in: Whether it belongs to the server itself.
        exclusive: How many indexes it has that let no row in beside another one: its keys, and others.
        visible: Whether its name without a schema is it.
    """

    schema: str
    name: str
    kind: str
    keys: tuple[frozenset[int], ...]
    built_in: bool
    exclusive: int
    visible: bool = True


@attrs.frozen
class Function:
    """A function.

    Attributes:
        name: Its name.
        built_in: Whether it belongs to the server itself.
        volatility: The letter of ``pg_proc.provolatile``.
        arguments: How many it takes.
        zoned: Whether a time with a zone goes in or out.
        extreme: Whether it is an aggregate like ``max``.
        unread: Why what it does cannot be told; None where it was read, or is known.
    """

    name: str
    built_in: bool
    volatility: str
    arguments: int
    zoned: bool
    extreme: bool
    unread: str | None = None


@attrs.frozen
class Operator:
    """An operator.

    Attributes:
        function: The function that it calls.
        orders: Whether it says which of two values comes first.
        equals: Whether it says that two are the same.
        texts: Whether its values are texts, or may be.
    """

    function: int
    orders: bool
    equals: bool
    texts: bool


@attrs.frozen
class Collation:
    """A collation.

    Attributes:
        name: Its name.
        default: Whether it is that of the database.
        exact: Whether only equal texts are equal.
        bytewise: Whether texts are ordered by their bytes.
    """

    name: str
    default: bool
    exact: bool
    bytewise: bool


@attrs.define
class Closure:
    """What stands behind a statement.

    Attributes:
        trees: What was parsed: where it stands ("" for the statement itself), and its tree.
        relations: What has rows, by number.
        functions: Functions, by number.
        operators: Operators, by number.
        collations: Collations, by number.
        marks: What changes whenever a view or a function does that was read.
    """

    trees: list[tuple[str, list[Any]]]
    relations: dict[int, Relation] = attrs.field(factory=dict)
    functions: dict[int, Function] = attrs.field(factory=dict)
    operators: dict[int, Operator] = attrs.field(factory=dict)
    collations: dict[int, Collation] = attrs.field(factory=dict)
    marks: dict[str, str] = attrs.field(factory=dict)

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """All nodes, with where they stand."""
        for place, tree in self.trees:
            for node in walk(tree):
                yield place, node


def parsed(connection: Any, text: str, arguments: str = "", result: str = "void") -> str:
    """Have the server parse a statement: as the body of a function, which is gone again.

    Args:
        connection: A connection of psycopg, with a transaction open.
        text: The statement, or several.
        arguments: What it may name by number or name, as a function declares it.
        result: What it returns.

    Returns:
        Its node tree.

    Raises:
        psycopg.Error: The server does not understand it; the transaction has failed.
    """
    script = _READ.format(
        savepoint=SAVEPOINT,
        schema=SCHEMA,
        name=_NAME,
        arguments=arguments,
        result=result,
        text=text.strip().rstrip(";"),
    )
    cursor = connection.execute(script.encode())
    cursor.nextset()
    cursor.nextset()
    return str(cursor.fetchone()[0])


def gather(connection: Any, text: str) -> Closure:
    """All that stands behind a statement.

    Raises:
        psycopg.Error: The server does not understand the statement; the transaction has failed.
    """
    closure = Closure([("", parse(parsed(connection, text)))])
    seen = 0
    while seen < len(closure.trees):
        _, tree = closure.trees[seen]
        seen += 1
        found = list(walk(tree))
        _look_up_operators(connection, closure, found)
        _look_up_relations(connection, closure, found)
        _look_up_functions(connection, closure, found)
        _look_up_collations(connection, closure, found)
    return closure


def unchanged(connection: Any, marks: dict[str, str]) -> bool:
    """Whether the views and functions that were read are as they were."""
    rules, functions = ([int(one[1:]) for one in marks if one[0] == letter] for letter in "rf")
    return dict(connection.execute(_MARKS, (rules, functions)).fetchall()) == marks


def _asked(connection: Any, query: str, wanted: Iterable[int], known: dict[int, Any]) -> Iterator[tuple[Any, ...]]:
    asked = {one for one in wanted if one} - known.keys()
    if asked:
        yield from connection.execute(query, (sorted(asked),)).fetchall()


def _look_up_relations(connection: Any, closure: Closure, found: list[Node]) -> None:
    wanted = [number(node, "relid") for node in found]
    for oid, schema, name, kind, rule, rule_oid, mark, keys, exclusive, visible in _asked(
        connection, _RELATIONS, wanted, closure.relations
    ):
        built_in = oid < _BUILT_IN
        unique = tuple(frozenset(key) for key in keys or ())
        closure.relations[oid] = Relation(schema, name, kind, unique, built_in, int(exclusive), visible)
        if rule is not None and not built_in:
            closure.trees.append((f"the view {name}", parse(rule)))
            closure.marks[f"r{rule_oid}"] = mark


def _called(node: Node) -> Iterator[int]:
    for field in ("funcid", "aggfnoid", "winfnoid", "opfuncid"):
        yield number(node, field)


def _look_up_functions(connection: Any, closure: Closure, found: list[Node]) -> None:
    wanted = [oid for node in found for oid in _called(node)]
    wanted += [one.function for one in closure.operators.values()]
    for row in _asked(connection, _FUNCTIONS, wanted, closure.functions):
        oid, name, language, volatility, kind, count, *rest = row
        body, source, arguments, result, mark, zoned, extreme, given = rest
        built_in, unread = oid < _BUILT_IN, None
        if not built_in:
            closure.marks[f"f{oid}"] = mark
            if language != "sql" or kind != "f":
                unread = "an aggregate" if kind == "a" else f"in {language}"
            else:
                body = body or _body(connection, source, arguments, result)
                unread = None if body is not None else "of any types"
            if unread is None:
                closure.trees.append((f"the function {name}", parse(body + (given or ""))))
        closure.functions[oid] = Function(name, built_in, volatility, count, zoned, extreme, unread)


def _body(connection: Any, source: str, arguments: str, result: str) -> str | None:
    """The tree of a function that the server keeps as a text; None where that cannot be had."""
    psycopg = driver.load()
    try:
        return parsed(connection, source, arguments, result)
    except psycopg.errors.Error as error:
        if connection.closed or error.sqlstate is None or error.sqlstate[:2] not in ("42", "0A"):
            raise
        connection.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}")
        return None


def _look_up_operators(connection: Any, closure: Closure, found: list[Node]) -> None:
    wanted = [number(node, field) for node in found for field in ("opno", "sortop")]
    wanted += [one for node in found for one in numbers(node, "opnos")]
    for oid, function, orders, equals, texts in _asked(connection, _OPERATORS, wanted, closure.operators):
        closure.operators[oid] = Operator(function, orders, equals, bool(texts))


def _look_up_collations(connection: Any, closure: Closure, found: list[Node]) -> None:
    wanted = [
        number(node, field)
        for node in found
        for field in node
        if field.endswith(("collid", "collOid", "collation"))
    ]
    wanted += [one for node in found for one in numbers(node, "inputcollids")]
    for row in _asked(connection, _COLLATIONS, wanted, closure.collations):
        closure.collations[row[0]] = Collation(*row[1:])

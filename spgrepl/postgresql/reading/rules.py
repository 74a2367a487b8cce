"""What a statement that was read depends on, beside the rows of the copy."""

from __future__ import annotations

from typing import Any

import attrs

from spgrepl.postgresql.reading.closure import Closure, Function, Relation
from spgrepl.postgresql.reading.conversions import has_days, unsure_conversion, unsure_function
from spgrepl.postgresql.reading.ddl import other_schema
from spgrepl.postgresql.reading.disputed import disputed, has_spans
from spgrepl.postgresql.reading.joins import may_meet_own, may_meet_several
from spgrepl.postgresql.reading.letters import Letters, letters_of
from spgrepl.postgresql.reading.node_trees import Node, nodes, number, numbers, of_query, type_of, walk

_ZONED = (1184, 1266)
"""The types of a moment, and of a time of day with a zone."""

_OF_THE_SERVER = (
    "pg_", "has_", "to_reg", "current_", "inet_", "obj_", "col_", "shobj_", "query_to", "table_to", "schema_to",
    "database_to", "cursor_to", "txid_", "ts_stat", "row_security",
)  # fmt: skip
_BY_TIES = frozenset({"rank", "dense_rank", "percent_rank", "cume_dist"})
"""Window functions that give rows of the same place the same value."""

_GATHERING = ("array_agg", "string_agg", "json_", "jsonb_", "xmlagg", "any_value")
_ROUNDING = ("sum", "avg", "stddev", "var", "corr", "covar_", "regr_")
"""Aggregates that round at each row, where they are of binary fractions."""

_OF_ROWS = {-1: "ctid", -2: "xmin", -3: "cmin", -4: "xmax", -5: "cmax", -6: "tableoid"}
_FRACTIONS = frozenset({700, 701})
_BY_ROWS = 0x4
_SELECT, _UPDATE = 1, 2
_NOTHING = 1
_PLAIN, _VIEW = frozenset("rp"), "v"
_EXISTS, _ARRAY = 0, 6
_SKIP_LOCKED = 1


@attrs.frozen
class Reading:
    """What a statement depends on.

    Attributes:
        stops: Why it must not be run here, whatever the operator has chosen.
        random: Functions in the statement itself whose value is this server's own.
        zone: What of it depends on the time zone of the session; None for nothing.
        moments: Whether a text in the statement itself may be a moment.
        days: Whether a constant in it is a day, or a moment.
        spans: Whether one is an interval.
        letters: What of it depends on which letters are capitals, or letters at all; None for nothing.
        collates: Whether it compares texts in any way.
        orders: Whether it asks which of two texts comes first.
        any_conflict: Tables into which it inserts with an ON CONFLICT that does not say with what.
        read: The columns that it reads, by the table's number.
        tables: The names of the tables that it names, and of those behind its views, by number.
        views: The views that it names.
        joins: Whether it is an UPDATE … FROM of which a row may meet several.
        marks: What changes whenever a view or a function does that was read.
    """

    stops: tuple[str, ...]
    random: frozenset[str]
    zone: str | None
    moments: bool
    days: bool
    spans: bool
    letters: Letters | None
    collates: bool
    orders: bool
    any_conflict: frozenset[int]
    read: dict[int, frozenset[int]]
    tables: dict[int, str]
    views: frozenset[str]
    joins: bool
    marks: dict[str, str]


def read(closure: Closure, byte_order: bool) -> Reading:
    """Say what a statement depends on.

    Args:
        closure: The statement, and what the names in it mean.
        byte_order: Whether the database orders texts by their bytes.
    """
    return _Rules(closure, byte_order).read()


class _Rules:
    def __init__(self, closure: Closure, byte_order: bool) -> None:
        self._closure = closure
        self._byte_order = byte_order
        self._stops: dict[str, None] = {}
        self._random: set[str] = set()
        self._zone: str | None = None
        self._moments = self._days = self._spans = self._collates = self._joins = False
        self._any_conflict: set[int] = set()
        self._read: dict[int, set[int]] = {}
        self._compared: set[int] = set()
        self._sorts = False
        self._exempt: set[int] = set()

    def read(self) -> Reading:
        for place, tree in self._closure.trees:
            for node in walk(tree):
                self._node(place, node)
        self._relations()
        self._order()
        named = self._closure.relations.items()
        return Reading(
            tuple(self._stops),
            frozenset(self._random),
            self._zone,
            self._moments,
            self._days,
            self._spans,
            letters_of(self._closure),
            self._collates,
            bool(self._compared) or self._sorts,
            frozenset(self._any_conflict),
            {oid: frozenset(columns) for oid, columns in self._read.items()},
            {oid: one.name for oid, one in named if one.kind in _PLAIN},
            frozenset(one.name for _, one in named if one.kind == _VIEW),
            self._joins,
            dict(self._closure.marks),
        )

    def _stop(self, place: str, text: str) -> None:
        self._stops[f"{place}: {text}" if place else text] = None

    # -- nodes ------------------------------------------------------------------------------------------------

    def _node(self, place: str, node: Node) -> None:
        kind = node[""]
        for field in ("funcid", "aggfnoid", "winfnoid", "opfuncid"):
            function = self._closure.functions.get(number(node, field))
            if function is not None:
                self._function(place, function)
        for unsure in (unsure_conversion(node, self._closure.functions), disputed(node, self._closure.functions)):
            if unsure is not None:
                self._stop(place, unsure)
        self._days = self._days or has_days(node)
        self._spans = self._spans or has_spans(node)
        self._texts(node)
        self._zones(place, node, kind)
        if kind == "SQLVALUEFUNCTION":
            self._stop(place, "a value of this session (CURRENT_TIMESTAMP, CURRENT_USER and their kind)")
        elif kind == "SUBLINK":
            self._sublink(place, node)
        elif kind == "VAR" and number(node, "varattno") in _OF_ROWS:
            name = _OF_ROWS[number(node, "varattno")]
            self._stop(place, f"{name} is where this server keeps a row: it is another one at the master")
        elif kind in ("RANGETBLENTRY", "RTEPERMISSIONINFO"):
            self._range(place, node)
        elif kind == "QUERY":
            self._query(place, node)
        elif kind == "ROWMARKCLAUSE" and number(node, "waitPolicy") == _SKIP_LOCKED:
            self._stop(place, "SKIP LOCKED takes the rows that nobody has locked, which are others at the master")

    def _function(self, place: str, one: Function) -> None:
        if one.unread is not None:
            self._stop(place, f"what the function {one.name} here does cannot be read: it is {one.unread}")
        if not one.built_in:
            return
        unsure = unsure_function(one)
        if unsure is not None:
            self._stop(place, unsure)
        own = one.volatility == "v" or (
            one.volatility == "s"
            and (
                not one.arguments or one.name.startswith(_OF_THE_SERVER) or (one.name, one.arguments) == ("age", 1)
            )
        )
        if own and not place:
            self._random.add(one.name)
        elif own:
            self._stop(place, f"{one.name}() has another value here than it had on the master")
        if one.volatility == "s" and one.zoned and not own:
            self._zone = self._zone or f"{one.name}()"

    def _texts(self, node: Node) -> None:
        """Look for what compares texts, and what orders them."""
        collations = [number(node, "inputcollid"), *numbers(node, "inputcollids")]
        sorts = node[""] == "SORTGROUPCLAUSE"
        self._collates = self._collates or any(collations) or sorts
        operators = [number(node, "opno"), *numbers(node, "opnos")]
        known = [one for oid in operators if (one := self._closure.operators.get(oid)) is not None]
        extreme = self._closure.functions.get(number(node, "aggfnoid") or number(node, "winfnoid"))
        orders = any(one.orders for one in known) or node[""] == "MINMAXEXPR"
        whole = any(self._name_of(one.function).startswith("record_") for one in known)
        self._collates = self._collates or whole
        if whole and orders and not self._byte_order:
            self._stop(
                "", "it compares rows by their order, and texts have another one at the master: use LOCALE 'C'"
            )
        if any(collations) and (orders or (extreme is not None and extreme.extreme)):
            self._compared.update(collations)
        for field in ("sortClause", "aggorder", "orderClause"):
            for clause in nodes(node, field):
                by = self._closure.operators.get(number(clause, "sortop"))
                self._sorts = self._sorts or by is None or by.texts

    def _name_of(self, function: int) -> str:
        found = self._closure.functions.get(function)
        return "" if found is None else found.name

    def _zones(self, place: str, node: Node, kind: str) -> None:
        if kind == "CONST" and number(node, "consttype") in _ZONED:
            if place:
                self._zone = self._zone or f"a moment in {place}"
            self._moments = True
        elif kind == "COERCEVIAIO":
            inner = node.get("arg")
            types = [number(node, "resulttype")]
            types += (
                [number(inner, one) for one in inner if one.endswith("type")] if isinstance(inner, dict) else []
            )
            if set(types) & {*_ZONED}:
                self._zone = self._zone or "a moment that becomes a text, or is made of one"

    def _range(self, place: str, node: Node) -> None:
        if isinstance(node.get("tablesample"), dict):
            self._stop(place, "TABLESAMPLE takes rows at random")
        columns = {one - 7 for one in numbers(node, "selectedCols") if one >= 7}
        if columns:
            self._read.setdefault(number(node, "relid"), set()).update(columns)

    # -- queries ----------------------------------------------------------------------------------------------

    def _query(self, place: str, query: Node) -> None:
        if place and number(query, "commandType") != _SELECT:
            self._stop(place, "it changes rows")
        conflict = query.get("onConflict")
        if isinstance(conflict, dict):
            table = number(self._entry(query, number(query, "resultRelation")), "relid")
            by = [number(one, "varattno") for one in walk(conflict.get("arbiterElems")) if one[""] == "VAR"]
            self._read.setdefault(table, set()).update(by)
            self._collates = True
            if not by:
                self._any_conflict.add(table)
            if number(conflict, "action") == _NOTHING:
                self._first_comes(place, query, frozenset(by))
        cut = isinstance(query.get("limitCount"), dict) or isinstance(query.get("limitOffset"), dict)
        cut = cut and id(query) not in self._exempt
        if (cut or query.get("hasDistinctOn") == "true") and not self._is_total(query, nodes(query, "sortClause")):
            self._stop(
                place,
                "LIMIT, or DISTINCT ON, without ORDER BY the unique key of its one table: which rows it takes "
                "cannot be told here",
            )
        for node in of_query(query):
            self._by_order(place, query, node)
        if number(query, "commandType") == _UPDATE and may_meet_several(query, self._closure):
            self._joined(place, query)

    def _first_comes(self, place: str, query: Node, by: frozenset[int]) -> None:
        """Rows of a query that ON CONFLICT leaves out, because another one of it came first."""
        source = next((one["subquery"] for one in nodes(query, "rtable") if "subquery" in one), None)
        if source is None or self._is_total(source, nodes(source, "sortClause")):
            return
        target = self._closure.relations.get(number(self._entry(query, number(query, "resultRelation")), "relid"))
        keys = [by] if by else self._all_keys(target)
        if not keys or any(may_meet_own(query, source, key, self._closure) for key in keys):
            self._stop(
                place,
                "ON CONFLICT DO NOTHING with rows of a query without ORDER BY its unique key: which of two comes "
                "first cannot be told here",
            )

    @staticmethod
    def _all_keys(target: Relation | None) -> list[frozenset[int]]:
        known = target is not None and target.exclusive == len(target.keys)
        return list(target.keys) if target is not None and known else []

    def _sublink(self, place: str, node: Node) -> None:
        query = node.get("subselect")
        if number(node, "subLinkType") == _EXISTS:
            self._exempt.add(id(query))
        elif number(node, "subLinkType") == _ARRAY and isinstance(query, dict):
            clauses = nodes(query, "sortClause")
            by_values = {number(one, "tleSortGroupRef") for one in clauses}
            own = {number(one, "ressortgroupref") for one in nodes(query, "targetList") if _is_value(one)}
            reads = any(one[""] == "RANGETBLENTRY" for one in walk(query))
            if reads and not (clauses and own <= by_values) and not self._is_total(query, clauses):
                self._stop(place, "ARRAY(SELECT …) without ORDER BY its own values, or a unique key")

    def _joined(self, place: str, query: Node) -> None:
        """An UPDATE of which a row may meet several: it is looked up first whether one does, where that can be."""
        entry = self._entry(query, number(query, "resultRelation"))
        relation = self._closure.relations.get(number(entry, "relid"))
        is_first = next(walk(self._closure.trees[0][1])) is query
        if (
            is_first
            and query.get("hasModifyingCTE") != "true"
            and relation is not None
            and relation.kind in _PLAIN
        ):
            self._joins = True
        else:
            self._stop(
                place,
                "UPDATE … FROM where a row may meet several, in or behind a WITH that changes rows, or of a view: "
                "which of them counts cannot be told here",
            )

    def _by_order(self, place: str, query: Node, node: Node) -> None:
        """Functions whose value depends on the order in which they meet rows."""
        if node[""] == "AGGREF":
            function = self._closure.functions.get(number(node, "aggfnoid"))
            clauses = nodes(node, "aggorder")
            sorted_by = {number(one, "tleSortGroupRef") for one in clauses}
            given = {number(one, "ressortgroupref") for one in nodes(node, "args") if _is_value(one)}
            gathers = function is not None and function.name.startswith(_GATHERING)
            if function is not None and _rounds(function, numbers(node, "aggargtypes")):
                if not given <= sorted_by and not self._is_total(query, clauses, node):
                    self._stop(place, f"{function.name}() of binary fractions in no order rounds in another way")
            elif gathers and not (clauses and given <= sorted_by) and not self._is_total(query, clauses, node):
                self._stop(place, f"{function.name if function else ''}() without ORDER BY its own values")
        elif node[""] == "WINDOWFUNC":
            function = self._closure.functions.get(number(node, "winfnoid"))
            window = next(
                (one for one in nodes(query, "windowClause") if one.get("winref") == node.get("winref")), None
            )
            if function is None or window is None or function.name in _BY_TIES:
                return
            rows = number(window, "frameOptions") & _BY_ROWS
            rows = rows or _rounds(function, [type_of(one) for one in nodes(node, "args")])
            if node.get("winagg") == "true" and not rows and not function.name.startswith(_GATHERING):
                return
            if not self._is_total(query, nodes(window, "orderClause")):
                self._stop(place, f"{function.name}() OVER rows without the order of a unique key")

    def _entry(self, query: Node, place: int) -> Node:
        entries = nodes(query, "rtable")
        return entries[place - 1] if 0 < place <= len(entries) else {"": ""}

    def _is_total(self, query: Node, clauses: list[Node], of: Node | None = None) -> bool:
        """Whether an order leaves no two rows where either could come first."""
        entries = nodes(query, "rtable")
        if (
            len(entries) != 1
            or nodes(query, "groupClause")
            or (nodes(query, "distinctClause") and query.get("hasDistinctOn") != "true")
        ):
            return False
        relation = self._closure.relations.get(number(entries[0], "relid"))
        if relation is None or relation.kind not in _PLAIN:
            return False
        sorted_by = {number(one, "tleSortGroupRef") for one in clauses}
        targets = nodes(query, "targetList") if of is None else nodes(of, "args")
        columns = {
            number(target["expr"], "varattno")
            for target in targets
            if number(target, "ressortgroupref") in sorted_by
            and isinstance(target.get("expr"), dict)
            and target["expr"][""] == "VAR"
        }
        return any(key <= columns for key in relation.keys)

    # -- all together -----------------------------------------------------------------------------------------

    def _relations(self) -> None:
        for one in self._closure.relations.values():
            if one.built_in:
                self._stop("", f"{one.schema}.{one.name} is this server's own")
            elif not one.visible:
                self._stop("", other_schema(f"{one.schema}.{one.name}"))
            elif one.kind not in _PLAIN and one.kind != _VIEW:
                what = {"m": "a materialized view", "f": "a foreign table", "S": "a sequence"}.get(one.kind, "")
                self._stop("", f"{one.name} is {what or 'no table and no view'}: its rows are not in the log")

    def _order(self) -> None:
        collations = self._closure.collations.values()
        vague = next((one for one in collations if not one.exact), None)
        if vague is not None and self._collates:
            self._stop("", f"the collation {vague.name} takes texts for equal that are not equal at the master")
        # By which collation something is sorted does not stand beside it.
        by = collations if self._sorts else [self._closure.collations[one] for one in self._compared if one]
        other = [one for one in by if not (self._byte_order if one.default else one.bytewise)]
        if other:
            self._stop(
                "",
                f"it {'sorts texts' if self._sorts else 'compares texts by their order'}: they are ordered by "
                f"their bytes at the master, and here by the collation "
                f"{'of the database' if all(one.default for one in other) else other[0].name}: make it with "
                f"LOCALE 'C'",
            )


def _rounds(function: Function, types: list[int]) -> bool:
    """Whether an aggregate has another value where it meets its rows in another order."""
    return function.built_in and function.name.startswith(_ROUNDING) and bool(_FRACTIONS & {*types})


def _is_value(target: Node) -> bool:
    """Whether an argument of an aggregate is gathered, and not a constant such as a separator."""
    inner: Any = target.get("expr")
    return target.get("resjunk") != "true" and not (isinstance(inner, dict) and inner[""] == "CONST")

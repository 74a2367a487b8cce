"""The functions that are known to mean the same here, and those whose value is every replica's own."""

from __future__ import annotations

from collections.abc import Callable

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.nodes import Call, Column
from spgrepl.spgsql.language.stops import NotDeterministic, StatementStopped
from spgrepl.spgsql.language.types import BIGINT, FLOAT, INT, NUMERIC, TEXT, UUID, Family, family_of
from spgrepl.spgsql.typed.compiling import Compiling
from spgrepl.spgsql.typed.moments import MOMENTS, moment
from spgrepl.spgsql.typed.scopes import Scope
from spgrepl.spgsql.typed.typing_rules import Compiled, comparison, order_collation

RANDOM = frozenset({"random", "rand"})
UUIDS = frozenset({"gen_random_uuid", "uuid_generate_v4", "uuidv4", "uuid"})
SEQUENCES = frozenset({"nextval"})
_OF_THE_SESSION = frozenset(
    "currval lastval setval current_user session_user user current_role current_catalog current_schema version "
    "pg_backend_pid txid_current current_database inet_client_addr last_insert_id connection_id found_rows "
    "row_count current_setting set_config pg_current_xact_id uuid_generate_v1 uuidv7 gen_random_bytes setseed "
    "random_normal unix_timestamp timeofday database".split()
)
_TEXT_FUNCTIONS: dict[str, tuple[str, int]] = {
    "lower": ("spgrepl_lower", 1),
    "upper": ("spgrepl_upper", 1),
    "replace": ("replace", 3),
    "btrim": ("trim", 1),
    "ltrim": ("ltrim", 1),
    "rtrim": ("rtrim", 1),
}
_LENGTHS = frozenset({"length", "char_length", "character_length"})


def call(compiler: Compiling, node: Call, scope: Scope, hint: SpgType | None) -> Compiled:
    """A call of a function.

    Raises:
        NotDeterministic: Its value is the replica's own, and may not be approximated.
        StatementStopped: It is not known here.
    """
    name = node.name
    if name in MOMENTS:
        return moment(compiler, name, hint)
    if name in RANDOM:
        compiler.not_deterministic(f"{name}()")
        return Compiled("spgrepl_random()", FLOAT)
    if name in UUIDS:
        compiler.not_deterministic(f"{name}()")
        return Compiled("spgrepl_uuid()", hint if hint is not None and family_of(hint) is Family.TEXT else UUID)
    if name in SEQUENCES:
        raise NotDeterministic(
            f"{name}()",
            f"{name}() has another value here than it had at the master, and it is not the value of a column",
        )
    if name in _OF_THE_SESSION:
        raise StatementStopped(f"{name}() is of the master's session, and its value is not in the log")
    known = _KNOWN.get(name)
    if known is None or (node.distinct and name != "count"):
        raise StatementStopped(f"the function {name}() is not known to mean the same here")
    return known(compiler, node, scope, hint)


def _arguments(node: Call, count: int) -> None:
    if len(node.arguments) != count or node.star:
        raise StatementStopped(f"{node.name}() with {len(node.arguments)} arguments is not translated")


def _text_function(compiler: Compiling, node: Call, scope: Scope, _hint: SpgType | None) -> Compiled:
    function, count = _TEXT_FUNCTIONS[node.name]
    _arguments(node, count)
    parts = [_text(compiler, node, scope, number) for number in range(count)]
    return Compiled(f"{function}({', '.join(parts)})", TEXT)


def _text(compiler: Compiling, node: Call, scope: Scope, number: int) -> str:
    found = compiler.typed(compiler.compile(node.arguments[number], scope, TEXT), TEXT)
    if found.type is None or family_of(found.type) is not Family.TEXT:
        raise StatementStopped(f"{node.name}() of what is not a text is not translated")
    return found.sql


def _length(compiler: Compiling, node: Call, scope: Scope, _hint: SpgType | None) -> Compiled:
    _arguments(node, 1)
    return Compiled(f"length({_text(compiler, node, scope, 0)})", INT)


def _coalesce(compiler: Compiling, node: Call, scope: Scope, hint: SpgType | None) -> Compiled:
    if not node.arguments:
        raise StatementStopped("coalesce() without arguments is not translated")
    found = [compiler.compile(one, scope, hint) for one in node.arguments]
    kind = compiler.together(found, hint)
    parts = [compiler.coerced(one, kind) for one in found]
    return Compiled(f"coalesce({', '.join(parts)})" if len(parts) > 1 else parts[0], kind)


def _nullif(compiler: Compiling, node: Call, scope: Scope, hint: SpgType | None) -> Compiled:
    _arguments(node, 2)
    left, right = (compiler.compile(one, scope, hint) for one in node.arguments)
    kind = compiler.together([left, right], hint)
    one, other = compiler.coerced(left, kind), compiler.coerced(right, kind)
    test = comparison("=", Compiled(one, kind), Compiled(other, kind))
    return Compiled(f"(CASE WHEN {test} THEN NULL ELSE {one} END)", kind)


def _abs(compiler: Compiling, node: Call, scope: Scope, hint: SpgType | None) -> Compiled:
    _arguments(node, 1)
    found = compiler.typed(compiler.compile(node.arguments[0], scope, hint), hint)
    assert found.type is not None
    if family_of(found.type) is not Family.INTEGER:
        raise StatementStopped(f"abs() of {found.type.label} is not translated")
    return Compiled(f"abs({found.sql})", found.type)


def _count(compiler: Compiling, node: Call, scope: Scope, _hint: SpgType | None) -> Compiled:
    if node.star:
        return Compiled("count(*)", BIGINT)
    _arguments(node, 1)
    found = compiler.typed(compiler.compile(node.arguments[0], scope))
    assert found.type is not None
    if node.distinct and family_of(found.type) not in (Family.INTEGER, Family.TEXT, Family.UUID, Family.BOOL):
        raise StatementStopped(f"count(DISTINCT …) of {found.type.label} is not translated")
    return Compiled(f"count({'DISTINCT ' if node.distinct else ''}{found.sql})", BIGINT)


def _sum(compiler: Compiling, node: Call, scope: Scope, _hint: SpgType | None) -> Compiled:
    _arguments(node, 1)
    found = compiler.typed(compiler.compile(node.arguments[0], scope))
    assert found.type is not None
    if found.type.tag not in (1, 7):
        raise StatementStopped(f"sum() of {found.type.label} is not translated")
    return Compiled(f"sum({found.sql})", BIGINT)


def _extreme(compiler: Compiling, node: Call, scope: Scope, _hint: SpgType | None) -> Compiled:
    _arguments(node, 1)
    found = compiler.typed(compiler.compile(node.arguments[0], scope))
    assert found.type is not None
    if family_of(found.type) is Family.FLOAT or family_of(found.type) is Family.REAL:
        raise StatementStopped(f"{node.name}() of {found.type.label} is not translated")
    # min() and max() follow the collation of their argument.
    return Compiled(f"{node.name}({found.sql}{order_collation(found.type)})", found.type)


def _values(_compiler: Compiling, node: Call, scope: Scope, _hint: SpgType | None) -> Compiled:
    _arguments(node, 1)
    column = node.arguments[0]
    if not isinstance(column, Column):
        raise StatementStopped("VALUES() of what is not a column")
    return scope.column("excluded", column.name)


def _floor(compiler: Compiling, node: Call, scope: Scope, hint: SpgType | None) -> Compiled:
    _arguments(node, 1)
    found = compiler.typed(compiler.compile(node.arguments[0], scope, hint), NUMERIC)
    assert found.type is not None
    if family_of(found.type) is not Family.INTEGER:
        raise StatementStopped(f"{node.name}() of {found.type.label} is not translated")
    return found


_Function = Callable[[Compiling, Call, Scope, SpgType | None], Compiled]
_KNOWN: dict[str, _Function] = {
    **dict.fromkeys(_TEXT_FUNCTIONS, _text_function),
    **dict.fromkeys(_LENGTHS, _length),
    **dict.fromkeys(("min", "max"), _extreme),
    **dict.fromkeys(("floor", "ceil", "ceiling"), _floor),
    "coalesce": _coalesce,
    "nullif": _nullif,
    "abs": _abs,
    "count": _count,
    "sum": _sum,
    "values": _values,
}

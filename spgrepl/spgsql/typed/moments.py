"""The time that stands for now() where values of the replica's own are approximated."""

from __future__ import annotations

from collections.abc import Callable

from spgrepl.spg.values import clock
from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language import times
from spgrepl.spgsql.language.lexing import Literal
from spgrepl.spgsql.language.nodes import Binary, Call, Cast, Const, Expression
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import DATE, TIME, TIMESTAMP, TIMESTAMPTZ, TIMETZ, Family, family_of
from spgrepl.spgsql.language.values import Stored
from spgrepl.spgsql.typed.compiling import Compiling
from spgrepl.spgsql.typed.plan import Binding
from spgrepl.spgsql.typed.typing_rules import Compiled

MOMENTS = {
    **dict.fromkeys(
        (
            "now",
            "current_timestamp",
            "transaction_timestamp",
            "statement_timestamp",
            "clock_timestamp",
            "sysdate",
        ),
        TIMESTAMPTZ,
    ),
    **dict.fromkeys(("localtimestamp", "utc_timestamp"), TIMESTAMP),
    **dict.fromkeys(("current_date", "curdate"), DATE),
    "current_time": TIMETZ,
    "localtime": TIME,
    "curtime": TIME,
}
"""Functions, and words, whose value is the time, with their types."""

_TEXTS: dict[Family, Callable[[int], Stored]] = {
    Family.TIMESTAMPTZ: clock.timestamptz_text,
    Family.TIMESTAMP: clock.timestamp_text,
    Family.DATE: lambda time: clock.date_text(time // clock.DAY_US),
    Family.TIME: lambda time: clock.time_text(time % clock.DAY_US),
    Family.TIMETZ: lambda time: clock.time_text(time % clock.DAY_US) + "+00",
}


def moment(compiler: Compiling, name: str, hint: SpgType | None, shift: int = 0) -> Compiled:
    """The time, as what is wanted.

    Args:
        compiler: Takes the parameter.
        name: The function.
        hint: The type that is wanted.
        shift: Microseconds to add.

    Raises:
        NotDeterministic: It may not be approximated.
    """
    called = f"{name}()" if name not in ("current_timestamp", "current_date", "current_time") else name.upper()
    compiler.not_deterministic(called)
    kind = hint if hint is not None and family_of(hint) in _TEXTS else MOMENTS[name]
    text = _TEXTS[family_of(kind)]
    return Compiled(compiler.bind(Binding(-1, of_time=lambda time: text(time + shift))), kind)


def shifted(compiler: Compiling, node: Binary, hint: SpgType | None) -> Compiled | None:
    """``now() - interval '1 day'``; None for anything else.

    Raises:
        StatementStopped: The interval has months, whose length depends on the day.
    """
    if not isinstance(node.left, Call) or node.left.name not in MOMENTS or not _is_interval(node.right):
        return None
    assert isinstance(node.right, Cast)
    assert isinstance(node.right.operand, Const)
    literal = compiler.literal(node.right.operand)
    parts = times.interval_parts(literal.text)
    if parts is None or parts[0]:
        raise StatementStopped(f"the time {node.operator} the interval {literal.text!r} is not translated")
    _, days, microseconds = parts
    shift = days * clock.DAY_US + microseconds
    return moment(compiler, node.left.name, hint, shift if node.operator == "+" else -shift)


def _is_interval(node: Expression) -> bool:
    return isinstance(node, Cast) and node.type.name == "interval" and isinstance(node.operand, Const)


def with_zone(convert: Callable[[Literal], Stored], literal: Literal) -> Stored:
    """A literal of a TIMESTAMPTZ that has to state its zone, because sessions of the master differ in theirs."""
    if not times.states_zone(literal.text):
        raise StatementStopped(
            f"the zone of {literal.text!r} is its session's, and a session of the master has set another one than "
            f"UTC: write the zone"
        )
    return convert(literal)

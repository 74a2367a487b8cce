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
    own = family_of(MOMENTS[name])
    kind = hint if hint is not None and family_of(hint) in _TEXTS else MOMENTS[name]
    if hint is None and shift and own is Family.DATE:
        kind = TIMESTAMP
    text = _TEXTS[family_of(kind)]
    grain = clock.DAY_US if own is Family.DATE else 1
    return Compiled(compiler.bind(Binding(-1, of_time=lambda time: text(time - time % grain + shift))), kind)


def compared_as(compiler: Compiling, node: Expression, beside: SpgType | None) -> SpgType | None:
    """The type that is wanted of an expression that is compared: a moment is not cut to a day, or to its time.

    Args:
        compiler: Has the literals.
        node: The expression.
        beside: The type of what it is compared with.
    """
    if beside is None or family_of(beside) not in (Family.DATE, Family.TIME, Family.TIMETZ):
        return beside
    call = node.left if isinstance(node, Binary) and _is_interval(node.right) else node
    if not isinstance(call, Call) or call.name not in MOMENTS:
        return beside
    whole_days = isinstance(node, Call) or not _shift_of(compiler, node) % clock.DAY_US
    return beside if MOMENTS[call.name] == DATE == beside and whole_days else None


def shifted(compiler: Compiling, node: Binary, hint: SpgType | None) -> Compiled | None:
    """``now() - interval '1 day'``; None for anything else.

    Raises:
        StatementStopped: The interval has months, whose length depends on the day.
    """
    if not isinstance(node.left, Call) or node.left.name not in MOMENTS or not _is_interval(node.right):
        return None
    return moment(compiler, node.left.name, hint, _shift_of(compiler, node))


def _shift_of(compiler: Compiling, node: Expression) -> int:
    """The microseconds that are added to a moment."""
    assert isinstance(node, Binary)
    assert isinstance(node.right, Cast)
    assert isinstance(node.right.operand, Const)
    literal = compiler.literal(node.right.operand)
    parts = times.interval_parts(literal.text)
    if parts is None or parts[0]:
        raise StatementStopped(f"the time {node.operator} the interval {literal.text!r} is not translated")
    _, days, microseconds = parts
    shift = days * clock.DAY_US + microseconds
    return shift if node.operator == "+" else -shift


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

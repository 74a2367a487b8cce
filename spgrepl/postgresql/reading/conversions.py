"""Values that become texts, and texts that become values: what of it an SPG server may do in another way."""

from __future__ import annotations

import re
from collections.abc import Mapping

from spgrepl.postgresql.reading.closure import Function
from spgrepl.postgresql.reading.node_trees import Node, nodes, number, numbers, type_of
from spgrepl.text.sqltext import Token, TokenKind

_CHAR, _NUMERIC = 1042, 1700
_FRACTIONS = frozenset({700, 701, 1021, 1022})
_TEXTS = frozenset({25, 1042, 1043, 114, 3802, 1009, 1015})
_DAYS = frozenset({1082, 1114, 1184})
_WITH_DAYS = _DAYS | {1115, 1182, 1185, 3908, 3910, 3912, 3909, 3911, 3913, 4533, 4534, 4535}
"""Types of days and moments, and of their arrays and ranges."""

_OF_BLANKS = frozenset(
    """
    bpchareq bpcharne bpcharlt bpcharle bpchargt bpcharge bpcharcmp bpchar bpchar_larger bpchar_smaller bpcharout
    """.split()
)
"""What takes a CHAR with its blanks and without them for the same."""

_LAST_DIGITS = frozenset(
    """
    exp dexp ln dlog1 log log10 dlog10 power pow dpow cbrt dcbrt sin cos tan cot asin acos atan atan2 sind cosd
    tand cotd asind acosd atand atan2d sinh cosh tanh asinh acosh atanh erf erfc gamma lgamma
    """.split()
)
_ROUNDING = frozenset({"round", "dround", "int2", "int4", "int8"})
_WORDS_OF_TEXTS = frozenset(
    """
    to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_headline ts_lexize ts_parse
    ts_debug json_to_tsvector jsonb_to_tsvector get_current_ts_config
    """.split()
)
_SUMS = ("hash", "jsonb_hash", "uuid_hash", "timestamp_hash", "interval_hash", "time_hash", "pg_lsn_hash")
_NUMBERS = re.compile(r"(?<![\w/.:+-])\d{1,2}[-/. ]\d{1,2}[-/. ]\d{1,4}(?!\d)")
_MONTHS = re.compile(r"(?i)(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)")
_TWO_NUMBERS = re.compile(r"\d\D+\d")

ORDERS = ("ISO, YMD", "ISO, MDY", "ISO, DMY")
"""In which the numbers of a day may be meant; the first is that of each session here."""


def unsure_function(function: Function) -> str | None:
    """Why a function of the server has another value elsewhere; None where that is not known of it."""
    if not function.built_in:
        return None
    if function.name in _WORDS_OF_TEXTS:
        return f"{function.name}() cuts and shortens words by the dictionaries of this server"
    if function.name.startswith(_SUMS):
        return f"{function.name}() is a number of this server's own"
    return None


def unsure_conversion(node: Node, functions: Mapping[int, Function]) -> str | None:
    """Why what an expression makes of its values may be something else at an SPG server.

    Args:
        node: The expression.
        functions: The functions that are known, by number.
    """
    kind = node[""]
    if kind == "COERCEVIAIO":
        return _by_text(node, functions)
    function = functions.get(number(node, "funcid") or number(node, "opfuncid") or number(node, "aggfnoid"))
    if function is None or not function.built_in:
        return None
    result = type_of(node)
    given = {type_of(one) for one in nodes(node, "args") if not _is_own(one, functions)} | {
        *numbers(node, "aggargtypes")
    }
    if _CHAR in given and kind != "AGGREF" and function.name not in _OF_BLANKS:
        return f"what {function.name}() makes of the blanks of a CHAR is not known here"
    if given & _FRACTIONS and result in _TEXTS and function.name != "to_char":
        return f"{function.name}() makes a text of a binary fraction: how the master writes it is not known here"
    if given & _FRACTIONS and function.name in _ROUNDING:
        return f"how the master rounds halves of a binary fraction, as {function.name}() does, is not known here"
    if result in _FRACTIONS and function.name in _LAST_DIGITS:
        return f"the last digits of {function.name}() are those of this machine"
    return None


def _is_own(node: Node, functions: Mapping[int, Function]) -> bool:
    """Whether a value is this server's own, as random() is: of such the rules say more."""
    function = functions.get(number(node, "funcid"))
    return function is not None and function.volatility == "v"


def _by_text(node: Node, functions: Mapping[int, Function]) -> str | None:
    inner = node.get("arg")
    if not isinstance(inner, dict) or _is_own(inner, functions):
        return None
    source, result = type_of(inner), number(node, "resulttype")
    if result in _TEXTS and (source in _FRACTIONS or (source == _NUMERIC and inner[""] == "CONST")):
        return "how the master writes a number with a fraction as a text is not known here"
    if source in _TEXTS and result in _DAYS:
        return "which day a text of a column is, such as 01/02/03, depends on the DateStyle of its session"
    return None


def has_days(node: Node) -> bool:
    """Whether a node is a constant with a day in it."""
    return node[""] == "CONST" and number(node, "consttype") in _WITH_DAYS


def may_be_other_day(tokens: list[Token]) -> bool:
    """Whether a constant may be one day here and another one where its numbers are in another order.

    Args:
        tokens: A statement, without blanks and comments.
    """
    return any(
        token.kind is TokenKind.STRING
        and (
            _NUMBERS.search(token.text) is not None
            or (_MONTHS.search(token.text) is not None and _TWO_NUMBERS.search(token.text) is not None)
        )
        for token in tokens
    )

"""What databases do in different ways, where nothing says which of them an SPG server takes for its own.

PostgreSQL leaves a NULL out of GREATEST, and others do not; a time zone has the rules of the version that knows
them. A statement that depends on such a thing stops, and may write the value instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from spgrepl.postgresql.reading.closure import Function
from spgrepl.postgresql.reading.node_trees import Node, nodes, number, type_of
from spgrepl.text.sqltext import Token, TokenKind

_NUMERIC, _INTERVAL, _JSON, _JSONB = 1700, 1186, 114, 3802
_TEXTS = frozenset({25, 1042, 1043})
_INTEGERS = frozenset({20, 21, 23})
_HEADER = 4

_QUOTIENTS = frozenset(
    """
    numeric_div avg stddev stddev_pop stddev_samp variance var_pop var_samp sqrt numeric_sqrt exp numeric_exp ln
    log numeric_ln numeric_log power pow numeric_power
    """.split()
)
"""Functions whose NUMERIC has more digits than a database keeps."""

_FORMATS = frozenset({"to_char", "to_date", "to_number", "to_timestamp"})
_OTHERWISE = {
    "concat": "takes NULL for an empty text here, and is NULL elsewhere",
    "concat_ws": "writes values as texts in a way of this server",
    "format": "writes values as texts in a way of this server",
    "initcap": "begins words where this server does",
    "ascii": "is the number of a letter here, and of its first byte elsewhere",
    "age": "counts months in a way of this server",
    "timestamp_mi": "counts days apart from hours as this server does",
    "timestamptz_mi": "counts days apart from hours as this server does",
    "justify_days": "counts days and months as this server does",
    "justify_hours": "counts days and months as this server does",
    "justify_interval": "counts days and months as this server does",
    "jsonb_pretty": "writes JSON in lines of this server",
    "interval_mul": "spreads fractions over days and months in a way of this server",
    "mul_d_interval": "spreads fractions over days and months in a way of this server",
    "interval_div": "spreads fractions over days and months in a way of this server",
    "similar_to_escape": "is a pattern of this server",
    "similar_escape": "is a pattern of this server",
    "to_hex": "has as many digits as a number has bytes here",
    "int4shl": "loses bits that a longer number keeps",
    "int2shl": "loses bits that a longer number keeps",
}
_WRITES_JSON = ("json_build", "json_object", "json_agg", "to_json", "row_to_json", "array_to_json", "json_strip")
_AS_TEXTS = frozenset(
    {
        16,
        18,
        19,
        20,
        21,
        23,
        25,
        26,
        27,
        28,
        29,
        114,
        700,
        701,
        705,
        1042,
        1043,
        1082,
        1083,
        1114,
        1184,
        1700,
        2950,
        3614,
        3615,
    }
)
"""Types whose values are the same text everywhere, or of whose texts more is said elsewhere."""

_OF_USERS = 16384
_PLAIN_ARRAYS = frozenset({1005, 1007, 1009, 1015, 1016})
_BY_PATTERN = frozenset({"textregexeq", "textregexne", "texticregexeq", "texticregexne"})
_PLAIN_PATTERN = re.compile(r"(?:[A-Za-z0-9 _@#%&=<>,;:!/\"'^$|()*+?-]|\[[A-Za-z0-9_-]+\])+")
_SPANS_COMPARED = frozenset(f"interval_{one}" for one in "eq ne lt le gt ge cmp larger smaller".split())
_FROM_ONE = frozenset({"substr", "substring", "overlay", "split_part"})
_FROM_ZERO = frozenset({"left", "right"})
_TRIMS = frozenset({"btrim", "ltrim", "rtrim"})
_TWO_SIZES = re.compile(r"float(48|84)(eq|ne|lt|le|gt|ge)")
_SHORT = re.compile(r"(?i)jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun")
_NO_ZONES = frozenset("t z utc gmt ad bc am pm at".split())
_UTC = frozenset({"utc", "z", "gmt"})
_TIME = re.compile(r"\d:\d\d")
_WORD = re.compile(r"[A-Za-z]+(?:/[A-Za-z_+-]+)*")
_FINER = re.compile(r":\d\d\.\d{7}")
_OWN_BOUNDS = re.compile(r"'\s*(?:\[-?\d+:-?\d+\])+=")
_MOMENT = re.compile(r"(?i)\b(?:now|today|tomorrow|yesterday)\b")
_NO_LETTERS = re.compile(r"(?i)\b(?:now|today|tomorrow|yesterday|null|infinity|am|pm|utc|gmt|z|t)\b")
_PART_OF_SPAN = re.compile(r"(?i)\d*\.\d+\s*(?:y|mon|w|d|h|min|c|mil|dec)")


def disputed(node: Node, functions: Mapping[int, Function]) -> str | None:
    """Why an expression may have another value at an SPG server; None where that is not known of it.

    Args:
        node: The expression.
        functions: The functions that are known, by number.
    """
    kind = node[""]
    if kind == "MINMAXEXPR":
        return "GREATEST and LEAST leave NULL out here, and are NULL elsewhere"
    if kind == "SUBSCRIPTINGREF" and isinstance(node.get("refassgnexpr"), dict):
        return "what else an array holds when one of its elements is set is not known here"
    inner = node.get("arg")
    if kind == "COERCEVIAIO" and number(node, "resulttype") in _TEXTS and isinstance(inner, dict):
        return _written(inner)
    if kind == "QUERY" and _changes_twice(node):
        return "a row that two parts of one statement change is changed by either of them"
    function = functions.get(number(node, "funcid") or number(node, "opfuncid") or number(node, "aggfnoid"))
    if function is None or not function.built_in:
        return None
    return _function(node, function.name)


def _function(node: Node, name: str) -> str | None:
    given = nodes(node, "args")
    if name in _QUOTIENTS and type_of(node) == _NUMERIC:
        return f"how many digits {name}() of NUMERIC keeps is not known here"
    if name in _FORMATS and any(type_of(one) in _TEXTS for one in given):
        return f"{name}() reads and writes by patterns of this server"
    if name in _OTHERWISE or name.startswith("regexp_"):
        return f"{name}() {_OTHERWISE.get(name, 'takes what the patterns of this server take first')}"
    if name == "substring" and len(given) > 1 and type_of(given[1]) in _TEXTS:
        return "substring() takes what the patterns of this server take first"
    if type_of(node) == _JSON and name.startswith(_WRITES_JSON):
        return f"{name}() makes a text of JSON: how the master writes it is not known here"
    if name == "encode" and _text(given[1]).lower() != "hex":
        return "encode() cuts lines as this server does: only 'hex' has none"
    if name == "timezone" and not _is_utc(given[0]):
        return "the rules of a time zone are those of the version that knows them: only UTC has none"
    if (name in _FROM_ONE or name in _FROM_ZERO) and not _counts(given[1:], int(name in _FROM_ONE)):
        return f"{name}() with a number below {int(name in _FROM_ONE)}, or of a row, takes other letters elsewhere"
    if name in _TRIMS and len(given) > 1 and len(_text(given[1])) != 1:
        return f"{name}() of several letters takes any of them here, and all together elsewhere"
    if _TWO_SIZES.fullmatch(name):
        return "how a REAL and a FLOAT are compared is not known here"
    if name in _SPANS_COMPARED:
        return "how many days a month has, when intervals are compared, is not known here"
    return _of_texts(name, given)


def _of_texts(name: str, given: list[Node]) -> str | None:
    if name in ("textanycat", "anytextcat"):
        if _is_fraction(given):
            return "how the master writes a number with a fraction as a text is not known here"
        return next(filter(None, map(_written, given)), None)
    if name == "array_to_string" and type_of(given[0]) not in _PLAIN_ARRAYS:
        return "how the master writes the elements of an array as texts is not known here"
    if name in _BY_PATTERN and not _is_plain(_text(given[1])):
        return f"{name}() takes what the patterns of this server take: only plain ones mean the same everywhere"
    return None


def _is_plain(pattern: str) -> bool:
    """Whether a pattern means the same in every language of patterns."""
    return _PLAIN_PATTERN.fullmatch(pattern) is not None and "(?" not in pattern and "***" not in pattern


def _written(value: Node) -> str | None:
    """Why a value is another text elsewhere."""
    kind = type_of(value)
    is_row = value[""] == "ROWEXPR" or (value[""] == "VAR" and number(value, "varattno") == 0)
    if kind == _JSONB:
        return "how the master writes a JSONB as a text is not known here"
    if is_row or (kind and kind not in _AS_TEXTS and kind < _OF_USERS):
        return "how the master writes a value of this type as a text is not known here"
    return None


def _changes_twice(query: Node) -> bool:
    """Whether a statement changes a table in a WITH, and once more."""
    changed = []
    for one in (
        query,
        *(cte["ctequery"] for cte in nodes(query, "cteList") if isinstance(cte.get("ctequery"), dict)),
    ):
        entries, place = nodes(one, "rtable"), number(one, "resultRelation")
        if 0 < place <= len(entries):
            changed.append(number(entries[place - 1], "relid"))
    return len(changed) > len(set(changed))


def _is_fraction(given: list[Node]) -> bool:
    return any(one[""] == "CONST" and type_of(one) == _NUMERIC for one in given)


def _is_utc(zone: Node) -> bool:
    return _text(zone).lower() in _UTC


def _text(node: Node) -> str:
    """The text of a constant; empty where it is none."""
    if node[""] != "CONST" or type_of(node) not in _TEXTS or not isinstance(node.get("constvalue"), list):
        return ""
    return bytes(int(one) & 0xFF for one in node["constvalue"][2:-1])[_HEADER:].decode()


def _counts(given: list[Node], least: int) -> bool:
    """Whether all whole numbers among arguments are constants that are not below one."""
    for at, one in enumerate(given):
        if type_of(one) not in _INTEGERS:
            continue
        if one[""] != "CONST" or not isinstance(one.get("constvalue"), list):
            return False
        value = bytes(int(byte) & 0xFF for byte in one["constvalue"][2:-1])
        if int.from_bytes(value[: number(one, "constlen")], "little", signed=True) < (least if at == 0 else 0):
            return False
    return True


def has_spans(node: Node) -> bool:
    """Whether a node is a constant that is an interval."""
    return node[""] == "CONST" and number(node, "consttype") == _INTERVAL


def moments_in(tokens: list[Token]) -> list[Token]:
    """The texts of a statement that may be the time at which it runs, such as ``'now'`` and ``'today 10:00'``.

    Args:
        tokens: The statement, without blanks and comments.
    """
    return [
        token
        for token in tokens
        if token.kind is TokenKind.STRING
        and _MOMENT.search(token.text)
        and not any(map(str.isalpha, _NO_LETTERS.sub("", token.text)))
    ]


def unsure_time(tokens: list[Token], moments: bool, spans: bool) -> str | None:
    """Why a constant may be another moment, time or interval at an SPG server; None where not.

    Args:
        tokens: A statement, without blanks and comments.
        moments: Whether a constant in it is a moment with a zone.
        spans: Whether one is an interval.
    """
    for token in tokens:
        if token.kind is not TokenKind.STRING:
            continue
        if _OWN_BOUNDS.match(token.text):
            return f"what the master makes of the bounds in {token.text} is not known here"
        if _FINER.search(token.text):
            return (
                f"{token.text} has more digits than a microsecond: which ones the master keeps is not known here"
            )
        if spans and _PART_OF_SPAN.search(token.text):
            return f"what the master makes of the fractions in {token.text} is not known here"
        if moments and _TIME.search(token.text) and any(map(_is_zone, _WORD.findall(token.text))):
            return f"the rules of the time zone in {token.text} are those of the version that knows them"
    return None


def _is_zone(word: str) -> bool:
    return word.lower() not in _NO_ZONES and _SHORT.match(word) is None

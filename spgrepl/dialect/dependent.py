"""Calls in a statement that have another value on each machine, and edits of SQL text.

The logs of SPG servers hold statements. One that is not run as it stands there, because SQLite speaks another
dialect, must not ask for the time or for a random number: the master's value was another one.
"""

from __future__ import annotations

import attrs

from spgrepl.text.sqltext import Token, TokenKind

TIME_FUNCTIONS = {
    "date": (0,),
    "time": (0,),
    "datetime": (0,),
    "julianday": (0,),
    "unixepoch": (0,),
    "strftime": (1,),
    "timediff": (0, 1),
}
"""The functions of date and time, and which of their arguments are time values."""

CURRENT_WORDS = frozenset({"current_timestamp", "current_date", "current_time"})
"""Words that stand for the time without being called."""

DEPENDENT_FUNCTIONS = frozenset(
    {
        "random",
        "randomblob",
        "last_insert_rowid",
        "changes",
        "total_changes",
        "sqlite_version",
        "sqlite_source_id",
        "load_extension",
        "sqlite_compileoption_get",
        "sqlite_compileoption_used",
        "fts3_tokenizer",
    }
)
"""All functions, but those of date and time, whose value belongs to one machine, one moment or one connection."""

_NOW = frozenset({"now", "subsec", "subsecond"})
_OF_ZONE = frozenset({"localtime", "utc"})

# After these stands the name of a table or an alias, even where it looks like a call with its arguments.
_BEFORE_NAMES = frozenset({"INTO", "UPDATE", "WITH", "RECURSIVE", "REFERENCES", "AS", ".", "TABLE"})


@attrs.frozen
class _Call:
    """A call of a function.

    Attributes:
        name: Its name in small letters.
        first: Index of the name's token.
        last: Index of the closing parenthesis.
        arguments: For each argument its tokens.
    """

    name: str
    first: int
    last: int
    arguments: list[list[Token]]


def apply_edits(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Replace parts of a text.

    Args:
        text: The text.
        edits: Start, end and replacement of each part, rising and apart from each other. A blank is put where a
            replacement would run into what stands beside it.
    """
    parts = []
    at = 0
    for start, end, replacement in edits:
        before, after = text[at:start], text[end : end + 1]
        parts.append(before)
        if replacement and start > 0 and not (text[start - 1].isspace() or text[start - 1] in "(,=;"):
            parts.append(" ")
        parts.append(replacement)
        if replacement and after and not (after.isspace() or after in "),;"):
            parts.append(" ")
        at = end
    parts.append(text[at:])
    return "".join(parts)


def find_dependent(tokens: list[Token]) -> str | None:
    """Look for a call that depends on the machine or the moment.

    Args:
        tokens: The tokens of an expression or statement, without blanks and comments.

    Returns:
        The name of the first one found, in small letters, or None. What only the run can show is not found.
    """
    for index, token in enumerate(tokens):
        if _is_current_word(tokens, index):
            return token.text.lower()
        call = _call_at(tokens, index)
        if call is not None and (call.name not in TIME_FUNCTIONS or _is_of_now(call) or _names_zone(call)):
            return call.name
    return None


def _is_current_word(tokens: list[Token], index: int) -> bool:
    token = tokens[index]
    if token.kind is not TokenKind.WORD or token.text.lower() not in CURRENT_WORDS:
        return False
    before = tokens[index - 1].upper if index else ""
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    return before not in _BEFORE_NAMES and after != "("


def _call_at(tokens: list[Token], index: int) -> _Call | None:
    """The call that begins at a token, if it is one of a function that may differ on a copy."""
    name = (tokens[index].name or "").lower()
    if name not in TIME_FUNCTIONS and name not in DEPENDENT_FUNCTIONS and name not in CURRENT_WORDS:
        return None
    if index + 1 >= len(tokens) or tokens[index + 1].text != "(":
        return None
    if index and tokens[index - 1].upper in _BEFORE_NAMES:
        return None
    arguments: list[list[Token]] = [[]]
    depth = 0
    for at in range(index + 1, len(tokens)):
        text = tokens[at].text if tokens[at].kind is TokenKind.OPERATOR else ""
        depth += (text == "(") - (text == ")")
        if depth == 0:
            return _Call(name, index, at, arguments if arguments[0] else [])
        if depth == 1 and text == ",":
            arguments.append([])
        elif at > index + 1:
            arguments[-1].append(tokens[at])
    return None


def _content(argument: list[Token]) -> str:
    """What a string says, in small letters; empty for anything else."""
    if len(argument) != 1:
        return ""
    token = argument[0]
    if token.kind is TokenKind.STRING or token.text.startswith('"'):
        return token.text[1:-1].lower()
    return ""


def _is_of_now(call: _Call) -> bool:
    places = TIME_FUNCTIONS[call.name]
    return len(call.arguments) <= places[-1] or any(_content(call.arguments[place]) in _NOW for place in places)


def _names_zone(call: _Call) -> bool:
    return any(_content(argument) in _OF_ZONE for argument in call.arguments)

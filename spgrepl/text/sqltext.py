"""SQL text by SQLite's own lexical rules: tokens, statements, names and literals.

Nothing here knows what a statement means. It is what must be right before anybody may look for a word in a
statement: what is a string, a comment or a quoted name is not a word, and a semicolon inside one ends nothing.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = [
    "SqlValue",
    "Token",
    "TokenKind",
    "fold_ascii",
    "literal",
    "main_verb",
    "quote_name",
    "significant_tokens",
    "split_pieces",
    "split_statements",
    "tokenize",
    "upper_ascii",
]

SqlValue = int | float | str | bytes | None
"""What SQLite stores in a column, as Python's sqlite3 gives it."""


_TO_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_TO_UPPER = {lower: upper for upper, lower in _TO_LOWER.items()}


def fold_ascii(text: str) -> str:
    """Put the letters A to Z into lower case, and no others: to SQLite, too, "Ä" and "ä" are two names."""
    return text.lower() if text.isascii() else text.translate(_TO_LOWER)


def upper_ascii(text: str) -> str:
    """Put the letters a to z into capitals, and no others: "ſet" is not the keyword SET."""
    return text.upper() if text.isascii() else text.translate(_TO_UPPER)


class TokenKind(enum.Enum):
    """What a piece of SQL text is."""

    BLANK = "blank"
    COMMENT = "comment"
    WORD = "word"
    QUOTED = "quoted"
    STRING = "string"
    BLOB = "blob"
    NUMBER = "number"
    PARAMETER = "parameter"
    OPERATOR = "operator"
    ILLEGAL = "illegal"


class Token(NamedTuple):
    """One token of SQL text.

    Attributes:
        kind: What it is. A keyword is a `TokenKind.WORD` like any unquoted name; a string, quoted name or
            comment that is never closed is of its kind and reaches to the end of the text.
        text: Its text as it stands.
        start: Its offset in the text, in characters.
    """

    kind: TokenKind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset just after the token."""
        return self.start + len(self.text)

    @property
    def upper(self) -> str:
        """An unquoted word or operator in capital letters; empty for everything else, which no keyword equals."""
        return upper_ascii(self.text) if self.kind in _PLAIN else ""

    @property
    def name(self) -> str | None:
        """The name that a word or quoted name stands for, None for other tokens."""
        if self.kind is TokenKind.WORD:
            return self.text
        if self.kind is TokenKind.QUOTED:
            mark = self.text[0]
            if mark == "[":
                return self.text[1:-1]
            return self.text[1:-1].replace(mark * 2, mark)
        return None


_PLAIN = frozenset({TokenKind.WORD, TokenKind.OPERATOR})

# SQLite's character classes. Everything beyond ASCII belongs to identifiers; a vertical tab is not a blank.
_BLANK = r"[ \t\n\f\r]"
_NAME = r"[A-Za-z0-9_$\x80-\U0010ffff]"
_NAME_START = r"[A-Za-z_\x80-\U0010ffff]"
_COMMENT = r"--[^\n]*+|/\*(?>(?:[^*]++|\*(?!/))*)(?:\*/|\Z)"
_STRING = r"'(?>(?:[^']++|'')*)(?:'|\Z)"
_QUOTED = r'"(?>(?:[^"]++|"")*)(?:"|\Z)|`(?>(?:[^`]++|``)*)(?:`|\Z)|\[[^\]]*+(?:\]|\Z)'

_TOKEN = re.compile(
    rf"(?P<blank>{_BLANK}++|\ufeff)"
    rf"|(?P<comment>{_COMMENT})"
    rf"|(?P<string>{_STRING})"
    rf"|(?P<blob>[xX]'[0-9a-fA-F]*+')"
    rf"|(?P<word>{_NAME_START}{_NAME}*+)"
    rf"|(?P<quoted>{_QUOTED})"
    rf"|(?P<number>0[xX][0-9a-fA-F]++(?!{_NAME})"
    rf"|(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?>(?:[eE][+-]?[0-9]++)?)(?!{_NAME}))"
    rf"|(?P<parameter>\?[0-9]*+|[:@#$]{_NAME}++(?>(?:::{_NAME}++)*)(?>(?:\([^)\s]*+\))?))"
    r"|(?P<operator>->>?|\|\||<<|>>|<=|<>|>=|==|!=|[-+*/%&|~<>=(),;.])"
    rf"|(?P<illegal>(?:[0-9]++|\.[0-9]++){_NAME}*+|.)",
    re.DOTALL,
)


def tokenize(text: str, start: int = 0) -> Iterator[Token]:
    """Cut SQL text into tokens, blanks and comments included: joined again they are the text.

    Args:
        text: Any text, SQL or not. What SQLite's tokenizer refuses comes as `TokenKind.ILLEGAL`.
        start: Where to begin, between two tokens.
    """
    for match in _TOKEN.finditer(text, start):
        group = match.lastgroup
        assert group is not None
        yield Token(TokenKind(group), match.group(), match.start())


def significant_tokens(text: str) -> list[Token]:
    """The tokens of SQL text without blanks and comments."""
    return [token for token in tokenize(text) if token.kind not in _IGNORED]


_IGNORED = frozenset({TokenKind.BLANK, TokenKind.COMMENT})


# -- statements -----------------------------------------------------------------------------------------------

# The end of a statement is found as sqlite3_complete() finds it: by a small machine over eight classes of tokens,
# whose only memory is whether a CREATE TRIGGER has begun, in which a semicolon ends the trigger only after END.
_STEP = re.compile(
    rf"(?P<skip>(?>(?:{_BLANK}++|{_COMMENT})+))|(?P<word>{_NAME}++)|(?P<quoted>{_STRING}|{_QUOTED})|.", re.DOTALL
)

# All tokens up to the next semicolon, in one step; `last` ends after the last one that is not a blank or comment.
_REST = re.compile(
    rf"(?>(?:(?>(?:{_BLANK}++|{_COMMENT})*)"
    rf"(?P<last>(?>(?:[^;'\"`\[/\- \t\n\f\r]++|{_STRING}|{_QUOTED}|-(?!-)|/(?!\*))+)))*)"
    rf"(?>(?:{_BLANK}++|{_COMMENT})*)"
)


# A statement that changes rows, without comments and with no other quotes than those of strings: most are so.
_SIMPLE = re.compile(
    rf"{_BLANK}*+((?i:INSERT|UPDATE|DELETE|REPLACE)(?={_BLANK})"
    rf"[^;'\"`\[/\-]*+(?:(?:'[^']*+'|-(?!-)|/(?!\*))[^;'\"`\[/\-]*+)*+);"
)
_BLANKS = " \t\n\f\r"


class _Stage(enum.Enum):
    START = 1
    NORMAL = 2
    EXPLAIN = 3
    CREATE = 4
    TRIGGER = 5
    SEMICOLON = 6
    END = 7


_AFTER_START = {"EXPLAIN": _Stage.EXPLAIN, "CREATE": _Stage.CREATE}
_AFTER_EXPLAIN = {"CREATE": _Stage.CREATE} | dict.fromkeys(
    ("EXPLAIN", "TEMP", "TEMPORARY", "TRIGGER", "END"), _Stage.NORMAL
)
_AFTER_CREATE = {"TEMP": _Stage.CREATE, "TEMPORARY": _Stage.CREATE, "TRIGGER": _Stage.TRIGGER}


def _next_stage(stage: _Stage, word: str) -> _Stage:
    """Where a token that is neither blank nor semicolon leads; `word` is in capitals, empty for other tokens."""
    if stage is _Stage.START:
        return _AFTER_START.get(word, _Stage.NORMAL)
    if stage is _Stage.EXPLAIN:
        return _AFTER_EXPLAIN.get(word, _Stage.EXPLAIN)
    if stage is _Stage.CREATE:
        return _AFTER_CREATE.get(word, _Stage.NORMAL)
    if stage is _Stage.SEMICOLON and word == "END":
        return _Stage.END
    return _Stage.TRIGGER


def _statement_end(text: str, start: int) -> tuple[int, int, int]:
    """Find one statement.

    Args:
        text: SQL text.
        start: Where the statement, or blank in front of it, begins.

    Returns:
        Where its first token begins, where its last one ends, and where the text goes on after its semicolon.
        The first two are equal when there is nothing but blanks and comments.
    """
    stage = _Stage.START
    first = last = at = start
    while at < len(text):
        if stage is _Stage.NORMAL:
            rest = _REST.match(text, at)
            assert rest is not None
            return first, max(last, rest.end("last")), rest.end() + 1
        step = _STEP.match(text, at)
        assert step is not None
        at = step.end()
        if step.lastgroup == "skip":
            continue
        if step.group() == ";":
            if stage in (_Stage.TRIGGER, _Stage.SEMICOLON):
                stage, last = _Stage.SEMICOLON, at
                continue
            return first, last, at
        if stage is _Stage.START:
            first = step.start()
        stage = _next_stage(stage, upper_ascii(step.group()) if step.lastgroup == "word" else "")
        last = at
    return first, last, at


def split_statements(text: str) -> list[str]:
    """Cut SQL text into its statements, by SQLite's own rules and in linear time.

    A semicolon in a string, a quoted name, a comment or the body of CREATE TRIGGER ends nothing.

    Args:
        text: Any number of statements. The last one may do without its semicolon.

    Returns:
        The statements in order, without the semicolon and without blanks and comments around them. Pieces that
        hold nothing else are left out.
    """
    return _cut(text, whole=True)[0]


def split_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """Cut SQL text that comes in pieces into its statements, as `split_statements` does.

    Memory holds a piece, or a statement that is longer; the work is linear all the same.

    Args:
        pieces: The text, cut anywhere.
    """
    held: list[str] = []
    size = wanted = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size < wanted:
            continue
        text = "".join(held)
        found, at = _cut(text, whole=False)
        held = [text[at:]]
        size = len(text) - at
        # What had no end yet is looked at again when there is as much again after it.
        wanted = 0 if found else 2 * size
        yield from found
    yield from split_statements("".join(held))


def _cut(text: str, whole: bool) -> tuple[list[str], int]:
    """The statements of a text, and where what follows them begins; of one that may go on, those that are over."""
    found = []
    at = 0
    while at < len(text):
        simple = _SIMPLE.match(text, at)
        if simple is not None:
            found.append(simple.group(1).rstrip(_BLANKS))
            at = simple.end()
            continue
        first, last, end = _statement_end(text, at)
        if not whole and end >= len(text):
            break  # it may have been found only as the text is at its end
        if first < last:
            found.append(text[first:last])
        at = end
    return found, at


def main_verb(tokens: list[Token]) -> str:
    """The word that says what a statement does, in capitals; empty when there is none.

    Args:
        tokens: The statement's significant tokens. For `WITH … INSERT` the verb is INSERT.
    """
    if not tokens:
        return ""
    first = tokens[0].upper
    if first != "WITH":
        return first if tokens[0].kind is TokenKind.WORD else ""
    depth = 0
    for token in tokens:
        if token.text == "(" and token.kind is TokenKind.OPERATOR:
            depth += 1
        elif token.text == ")" and token.kind is TokenKind.OPERATOR:
            depth -= 1
        elif depth == 0 and token.upper in _VERBS_AFTER_WITH:
            return token.upper
    return "WITH"


_VERBS_AFTER_WITH = frozenset({"SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"})


# -- names and literals ---------------------------------------------------------------------------------------


def quote_name(name: str) -> str:
    """A name as SQL text that stands for it whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: SqlValue) -> str:
    """A value as SQL text that evaluates to it, with the same type.

    Args:
        value: What SQLite may hold. Text must not hold NUL, which SQL text cannot carry.

    Raises:
        ValueError: Text with NUL.
        OverflowError: An integer beyond 64 bits.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("text with a NUL character cannot be written as a literal")
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise OverflowError(f"{value} does not fit into SQLite's 64-bit integers")
        # In parentheses a sign cannot run into an operator before it: two minus signs would begin a comment.
        return str(int(value)) if value >= 0 else f"({int(value)})"
    if math.isnan(value):
        return "NULL"
    number = "9e999" if math.isinf(value) else repr(abs(value))
    return number if math.copysign(1.0, value) > 0 else f"(-{number})"

"""The tokens of PostgreSQL's and MySQL's SQL, and the template of a statement: its text without its literals.

SQLite's own tokens are in `spgrepl.text.sqltext`; these differ in strings, comments and operators, and what
differs would be another value in silence.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.text.sqltext import fold_ascii


class Dialect(enum.Enum):
    """Whose SQL it is."""

    POSTGRESQL = "PostgreSQL"
    MYSQL = "MySQL"


class TokenKind(enum.Enum):
    """What a token is."""

    WORD = "word"
    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    BYTES = "bytes"
    OPERATOR = "operator"
    END = "end"


class Token(NamedTuple):
    """A token.

    Attributes:
        kind: What it is.
        text: A word in small letters, the name that a quoted name stands for, what a string says, the digits of a
            number or of bytes, an operator.
        at: Where it begins in the text.
        end: Where it ends.
        slot: For a literal its number among those of the statement; -1 for all else.
    """

    kind: TokenKind
    text: str
    at: int
    end: int
    slot: int = -1


class Literal(NamedTuple):
    """A literal of a statement.

    Attributes:
        kind: `TokenKind.STRING`, `TokenKind.NUMBER` or `TokenKind.BYTES`.
        text: What it says, as in `Token.text`.
    """

    kind: TokenKind
    text: str


LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.BYTES})

_WORD = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+"
_NUMBER = r"(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
_POSTGRESQL = re.compile(
    r"(?P<blank>[ \t\n\f\r\v]++|--[^\n]*+)"
    r"|(?P<comment>/\*)"
    r"|(?P<escaped>[eE]'(?:[^'\\]++|\\.|'')*+')"
    r"|(?P<unicode>[uU]&['\"])"
    r"|(?P<bits>[bBxX]'[^']*+')"
    r"|(?P<string>'(?:[^']++|'')*+')"
    r"|(?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+)?\$)"
    rf"|(?P<word>{_WORD})"
    r'|(?P<name>"(?:[^"]++|"")++")'
    rf"|(?P<number>{_NUMBER})(?![A-Za-z0-9_$\x80-\U0010ffff])"
    r"|(?P<operator>::|\|\||<=|>=|<>|!=|->>|->|[-+*/%^<>=~!@#&|`?]++(?<![-+])|[-+]|[(),;.:\[\]])",
    re.DOTALL,
)
_MYSQL = re.compile(
    r"(?P<blank>[ \t\n\f\r\v]++|--(?=\s|\Z)[^\n]*+|\#[^\n]*+)"
    r"|(?P<comment>/\*)"
    r"|(?P<bytes>[xX]'[0-9a-fA-F]*+'|0x[0-9a-fA-F]++(?![A-Za-z0-9_$]))"
    r"|(?P<bits>[bBnN]'[^']*+')"
    r"|(?P<escaped>'(?:[^'\\]++|\\.|'')*+'|\"(?:[^\"\\]++|\\.|\"\")*+\")"
    rf"|(?P<word>{_WORD})"
    r"|(?P<name>`(?:[^`]++|``)++`)"
    rf"|(?P<number>{_NUMBER})(?![A-Za-z0-9_$\x80-\U0010ffff])"
    r"|(?P<operator><=>|<=|>=|<>|!=|\|\||&&|->>|->|:=|[-+*/%^<>=~!&|(),;.:@?])",
    re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MYSQL_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MYSQL_CONTROL = {"b": "\b", "n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a", "%": "\\%", "_": "\\_"}


def lex(text: str, dialect: Dialect = Dialect.POSTGRESQL) -> list[Token]:
    """Cut a text into tokens, without blanks and comments; `TokenKind.END` is the last one.

    Raises:
        StatementStopped: It is not SQL of that dialect, or has a form of string that is not read here.
    """
    pattern = _POSTGRESQL if dialect is Dialect.POSTGRESQL else _MYSQL
    found: list[Token] = []
    at, size, slots = 0, len(text), 0
    while at < size:
        match = pattern.match(text, at)
        if match is None:
            raise StatementStopped(f"character {at + 1} on cannot be read as {dialect.value} writes SQL")
        group, piece, end = match.lastgroup, match.group(), match.end()
        if group == "comment":
            end = _comment_end(text, at, dialect)
        elif group == "dollar":
            end, piece = _dollar_quoted(text, piece, end)
            group = "raw"
        if group not in ("blank", "comment"):
            kind, value = _token_of(str(group), piece, dialect)
            slot = -1
            if kind in LITERALS:
                slot, slots = slots, slots + 1
                if found and found[-1].kind is TokenKind.STRING and kind is TokenKind.STRING:
                    raise StatementStopped("strings that stand side by side are not read here")
            found.append(Token(kind, value, at, end, slot))
        at = end
    found.append(Token(TokenKind.END, "", size, size))
    return found


def _comment_end(text: str, at: int, dialect: Dialect) -> int:
    if dialect is Dialect.MYSQL:
        if text.startswith(("/*!", "/*+", "/*M!"), at):
            raise StatementStopped("a comment that MySQL runs is not read here")
        end = text.find("*/", at + 2)
        return len(text) if end < 0 else end + 2
    depth = 0
    for mark in _NESTED.finditer(text, at):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    raise StatementStopped("a comment does not end")


def _dollar_quoted(text: str, tag: str, start: int) -> tuple[int, str]:
    end = text.find(tag, start)
    if end < 0:
        raise StatementStopped(f"the string that begins with {tag} does not end")
    return end + len(tag), text[start:end]


def _token_of(group: str, piece: str, dialect: Dialect) -> tuple[TokenKind, str]:
    if group == "word":
        return TokenKind.WORD, fold_ascii(piece)
    if group == "operator":
        return TokenKind.OPERATOR, piece
    if group == "number":
        return TokenKind.NUMBER, piece
    if group == "string":
        return TokenKind.STRING, piece[1:-1].replace("''", "'")
    if group == "raw":
        return TokenKind.STRING, piece
    if group == "name":
        return TokenKind.NAME, piece[1:-1].replace(piece[0] * 2, piece[0])
    if group == "bytes":
        digits = piece[2:].rstrip("'")
        return TokenKind.BYTES, digits.rjust(len(digits) + len(digits) % 2, "0")
    if group == "escaped":
        if dialect is Dialect.MYSQL:
            inner = piece[1:-1].replace(piece[0] * 2, piece[0])
            return TokenKind.STRING, _MYSQL_ESCAPE.sub(lambda one: _MYSQL_CONTROL.get(one[1], one[1]), inner)
        return TokenKind.STRING, _unescaped(piece[2:-1].replace("''", "'"))
    what = "a string with Unicode escapes" if group == "unicode" else "a string of bits"
    raise StatementStopped(f"{what} ({piece[:12]}…) is not read here")


def _unescaped(inner: str) -> str:
    """What an E'' string says. Its bytes by number may only together be a character."""
    if "\\" not in inner:
        return inner
    parts: list[bytes] = []
    at = 0
    for one in _ESCAPE.finditer(inner):
        parts.append(inner[at : one.start()].encode("utf-8", "surrogatepass"))
        at = one.end()
        octal, hexadecimal, short, long, other = one.groups()
        if octal is not None or hexadecimal is not None:
            number = int(octal, 8) if octal is not None else int(hexadecimal, 16)
            if not 0 < number < 256:
                raise StatementStopped("a string with the byte 0, or one beyond 255, is not read here")
            parts.append(bytes((number,)))
        elif short is not None or long is not None:
            number = int(short or long, 16)
            if not 0 < number < 0x110000 or 0xD800 <= number < 0xE000:
                raise StatementStopped("a string with a Unicode escape that is not a character by itself")
            parts.append(chr(number).encode())
        else:
            parts.append(_CONTROL.get(other, other).encode("utf-8", "surrogatepass"))
    parts.append(inner[at:].encode("utf-8", "surrogatepass"))
    try:
        return b"".join(parts).decode("utf-8")
    except UnicodeDecodeError as error:
        raise StatementStopped(f"a string is not UTF-8 after its escapes: {error.reason}") from error


def split(text: str, dialect: Dialect = Dialect.POSTGRESQL) -> list[str]:
    """Cut a text into its statements. Raises as `lex`."""
    found, start = [], 0
    tokens = lex(text, dialect)
    for index, token in enumerate(tokens):
        ends = token.kind is TokenKind.END or (token.kind is TokenKind.OPERATOR and token.text == ";")
        if ends and index > start:
            found.append(text[tokens[start].at : tokens[index - 1].end])
        if ends:
            start = index + 1
    return found


def head_words(text: str, dialect: Dialect = Dialect.POSTGRESQL, count: int = 4) -> list[str] | None:
    """The words that a statement begins with, in capitals; None for one that is nothing but blanks and comments.

    What stands after them is not looked at, and need not be readable.

    Raises:
        StatementStopped: Not even its beginning is.
    """
    pattern = _POSTGRESQL if dialect is Dialect.POSTGRESQL else _MYSQL
    found: list[str] = []
    at = 0
    while at < len(text) and len(found) < count:
        match = pattern.match(text, at)
        group = "" if match is None else match.lastgroup
        if match is None or group not in ("blank", "comment", "word"):
            return found
        at = match.end()
        if group == "comment":
            at = _comment_end(text, match.start(), dialect)
        elif group == "word":
            found.append(match.group().upper())
    return found or None


# -- templates ------------------------------------------------------------------------------------------------

# What makes a text one that the quick way does not cut: other quotes, comments, escapes, several statements.
_ODD = re.compile(r"[\"$`\\;#\[]|--|/\*|[A-Za-z0-9_&]'")
_QUICK = re.compile(r"('(?:[^']++|'')*+'|(?<![A-Za-z0-9_.\x80-\U0010ffff])(?:[0-9]++\.?[0-9]*+)(?![A-Za-z0-9_.]))")


def template(text: str) -> tuple[str, list[Literal]] | None:
    """The text of a PostgreSQL statement without its literals, and these; None where the quick way does not do.

    Two statements with the same template differ in nothing but the values of their literals.
    """
    parts = _QUICK.split(text)
    rest = "\0".join(parts[::2])
    if _ODD.search(rest) is not None or "'" in rest:
        return None
    literals = []
    kinds = []
    previous = ""
    for piece, before in zip(parts[1::2], parts[::2], strict=False):
        if piece[0] == "'":
            if (before and (before[-1].isalnum() or before[-1] in "_&'")) or (
                not before.strip() and previous == "s"
            ):
                return None
            literals.append(Literal(TokenKind.STRING, piece[1:-1].replace("''", "'")))
            previous = "s"
        else:
            literals.append(Literal(TokenKind.NUMBER, piece))
            previous = "n"
        kinds.append(previous)
    return rest + "\0" + "".join(kinds), literals


def literals_of(tokens: list[Token]) -> list[Literal]:
    """The literals among tokens, by their numbers."""
    return [Literal(token.kind, token.text) for token in tokens if token.slot >= 0]

"""SQL as it may be shown: in errors, logs, the status and what commands print. Passwords stay out.

A log holds what clients wrote, ``CREATE USER … PASSWORD '…'`` among it. The log itself is kept byte for byte; what
is told of it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

HIDDEN = "***"
"""What stands in the place of a secret."""

# Words after which every string of a statement may be a secret.
_SECRET_WORD = re.compile(r"\b(?:password|passwd|identified|secret|passphrase|credential\w*)\b", re.IGNORECASE)
_WORTH_A_LOOK = re.compile(r"passw|identified|secret|passphrase|credential|connection|conninfo|://", re.IGNORECASE)
_ROWS = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*+(?:insert|update|delete|replace|with|merge|truncate)\b",
    re.IGNORECASE | re.DOTALL,
)
_NOT_ROWS = re.compile(r"\b(?:create|alter|grant|identified|do)\b|;\s*set\b", re.IGNORECASE)
_STRING = re.compile(
    r"'(?:[^'\\]|''|\\.)*+(?:'|\Z)|\$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)"
    r"|\"(?:[^\"\\]|\"\"|\\.)*+(?:\"|\Z)",
    re.DOTALL,
)
_OF_TABLES = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*+(?:(?:insert|update|delete|replace|with|select\b(?=.*\binto)|merge|truncate|copy)\b"
    r"|(?:create|alter|drop)\s+(?:(?:or\s+replace|temp|temporary|unlogged|global|local|unique|virtual|materialized"
    r"|recursive|constraint)\s+)*(?:table|index|view|trigger)\b)",
    re.IGNORECASE | re.DOTALL,
)
_KEY = re.compile(r"[eE]?'[\w.]*(?:password|passwd|secret|passphrase)'", re.IGNORECASE)
_ANOTHER = re.compile(r";\s*[^\s;]")
_COMMENT = r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|"
_BACKSLASH = r"|\\."
_ESCAPED = r"(?<![A-Za-z0-9_])[eE]'(?:[^'\\]|''|\\.)*+(?:'|\Z)|"
# Whether a backslash escapes depends on the server, and a quote in a comment opens nothing: what one of these
# takes for a secret is one.
_READINGS = (
    re.compile(_COMMENT + _ESCAPED + _STRING.pattern.replace(_BACKSLASH, "").replace(r"\\", ""), re.DOTALL),
    re.compile(_COMMENT + _STRING.pattern, re.DOTALL),
    _STRING,
)
_DEEPEST = 5
_KEYS = r"password|passwd|pwd|sslpassword|oauth_client_secret|scram_client_key|scram_server_key|passphrase|secret"
_PAIR = re.compile(
    rf"(?P<key>\b(?:{_KEYS})\s*=\s*)(?:'(?:[^'\\]|\\.|'')*+(?:'|\Z)|\"[^\"]*+(?:\"|\Z)|[^\s&'\";]*+)",
    re.IGNORECASE,
)
_URI = re.compile(r"(?P<start>[A-Za-z][\w+.-]*://[^\s/?#'\"@:]*+:)[^\s/?#'\"]*(?=@)")


def shown_connection(text: str) -> str:
    """A connection string, of pairs or as a URI, without its passwords."""
    return _PAIR.sub(rf"\g<key>{HIDDEN}", _URI.sub(rf"\g<start>{HIDDEN}", text))


def shown_sql(sql: str) -> str:
    """A statement without the passwords in it.

    Changes of rows are shown as they are: what a table holds is not a secret of the server. Of every other
    statement, SELECT among them, all strings after a word such as PASSWORD are left out, and the passwords in
    connection strings.

    Args:
        sql: Any text, SQL or not.
    """
    if _WORTH_A_LOOK.search(sql) is None:
        return sql
    if _ROWS.match(sql) is not None and _NOT_ROWS.search(sql) is None:
        return sql
    return _without_secrets(sql, _DEEPEST, {})


def handed_sql(sql: str) -> str:
    """A statement as a program gets it that goes by its text: without passwords of users, the rest as it is.

    What `shown_sql` leaves out of a table's definition, such as the default of a column ``password``, is not a
    secret of the server, and a table that is made without it would be another one.

    Args:
        sql: A statement of a log.
    """
    found = shown_sql(sql)
    if found == sql or (_OF_TABLES.match(sql) is not None and not _may_be_several(sql)):
        return sql
    return found


def _may_be_several(sql: str) -> bool:
    """Whether there may be another statement after the first, however strings are read."""
    return any(_ANOTHER.search(pattern.sub(" ", sql)) is not None for pattern in _READINGS[:2])


def _without_secrets(sql: str, depth: int, known: dict[str, str]) -> str:
    """A text without secrets; `known` has the strings that were looked into already."""
    parts: list[str] = []
    at = 0
    edits = sorted(edit for strings in _READINGS for edit in _edits(sql, strings, depth, known))
    for start, end, text in _merged(edits):
        parts += (sql[at:start], text)
        at = end
    return "".join(parts) + sql[at:]


def _merged(edits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """What several readings leave out; where they overlap and differ, all of it."""
    found: list[tuple[int, int, str]] = []
    for edit in edits:
        start, end, _ = edit
        if found and start < found[-1][1]:
            if edit != found[-1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]), f"'{HIDDEN}'")
        else:
            found.append(edit)
    return found


def _edits(
    sql: str, strings: re.Pattern[str], depth: int, known: dict[str, str]
) -> Iterator[tuple[int, int, str]]:
    """What to leave out when strings are read in one way: the place, and what stands there instead."""
    secret = _first_word(sql, strings)
    for found in strings.finditer(sql):
        text = found[0]
        if strings is not _STRING and found["comment"] is not None:
            continue
        if found.start() >= secret:
            shown = _hidden(text)
        elif (shown := known.get(text, "")) == "":
            shown = known[text] = _looked_into(text, depth, known)
        if shown != text:
            yield found.start(), found.end(), shown


def _first_word(sql: str, strings: re.Pattern[str]) -> int:
    """Where the first word ends after which strings may be secrets.

    One in a string says nothing, unless it is all of it, as in ``set_config('app.password', '…')``.
    """
    quoted = iter(strings.finditer(sql))
    inside = next(quoted, None)
    for word in _SECRET_WORD.finditer(sql):
        while inside is not None and inside.end() <= word.start():
            inside = next(quoted, None)
        if inside is None or word.start() < inside.start() or _is_comment(inside):
            return word.end()
        if word.end() == inside.end() - 1 and _KEY.fullmatch(inside[0]) is not None:
            return word.end()
    return len(sql)


def _is_comment(found: re.Match[str]) -> bool:
    return found[0].startswith(("--", "/*"))


def _hidden(text: str) -> str:
    mark = '"' if text[0] == '"' else "'"
    return f"{mark}{HIDDEN}{mark}"


def _looked_into(text: str, depth: int, known: dict[str, str]) -> str:
    """A string in which there may be a connection string, or a statement."""
    if _WORTH_A_LOOK.search(text) is None or _KEY.fullmatch(text) is not None:
        return text
    if depth == 0:
        return _hidden(text)
    if text[0] == "$":
        size = text.index("$", 1) + 1
        return text[:size] + _without_secrets(text[size:], depth - 1, known)
    if text[0] in "eE":
        return text[0] + _looked_into(text[1:], depth, known)
    inner = text[1:].replace(text[0] * 2, text[0])
    shown = shown_connection(_without_secrets(inner, depth - 1, known))
    return text if shown == inner else text[0] + shown.replace(text[0], text[0] * 2) + text[0]


def shown_bytes(sql: bytes) -> bytes:
    """The same for SQL as a record holds it; bytes that are not UTF-8 stay as they are."""
    text = sql.decode("utf-8", "surrogateescape")
    shown = shown_sql(text)
    return sql if shown is text else shown.encode("utf-8", "surrogateescape")

"""SQL as it may be shown: in errors, logs, the status and what commands print. Passwords stay out.

A log holds what clients wrote, ``CREATE USER … PASSWORD '…'`` among it. The log itself is kept byte for byte; what
is told of it is not.
"""

from __future__ import annotations

import re

HIDDEN = "***"
"""What stands in the place of a secret."""

# Words after which every string of a statement may be a secret.
_SECRET_WORD = re.compile(r"\b(?:password|passwd|identified|secret|passphrase|credential\w*)\b", re.IGNORECASE)
_WORTH_A_LOOK = re.compile(r"passw|identified|secret|passphrase|credential|connection|conninfo|://", re.IGNORECASE)
_ROWS = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*+(?:insert|update|delete|replace|with|select|merge|truncate)\b",
    re.IGNORECASE | re.DOTALL,
)
_NOT_ROWS = re.compile(r"\b(?:create|alter|grant|identified|do)\b|;\s*set\b", re.IGNORECASE)
_STRING = re.compile(
    r"'(?:[^'\\]|''|\\.)*+(?:'|\Z)|\$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)"
    r"|\"(?:[^\"\\]|\"\"|\\.)*+(?:\"|\Z)",
    re.DOTALL,
)
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

    Rows are shown as they are: what a table holds is not a secret of the server. Of every other statement all
    strings after a word such as PASSWORD are left out, and the passwords in connection strings.

    Args:
        sql: Any text, SQL or not.
    """
    if _WORTH_A_LOOK.search(sql) is None:
        return sql
    if _ROWS.match(sql) is not None and _NOT_ROWS.search(sql) is None:
        return sql
    word = _outside_strings(sql)
    start = len(sql) if word is None else word
    return _STRING.sub(_looked_into, sql[:start]) + _STRING.sub(_hidden, sql[start:])


def _outside_strings(sql: str) -> int | None:
    """Where the first word stands after which strings may be secrets; one in a string says nothing."""
    at = 0
    while (word := _SECRET_WORD.search(sql, at)) is not None:
        inside = next((one for one in _STRING.finditer(sql) if one.start() < word.start() < one.end()), None)
        if inside is None:
            return word.end()
        at = inside.end()
    return None


def _hidden(found: re.Match[str]) -> str:
    mark = '"' if found[0][0] == '"' else "'"
    return f"{mark}{HIDDEN}{mark}"


def _looked_into(found: re.Match[str]) -> str:
    """A string in which there may be a connection string, or a statement."""
    text = found[0]
    if text[0] == "$":
        size = len(found["tag"]) + 2
        return text[:size] + shown_sql(text[size:])
    inner = text[1:].replace(text[0] * 2, text[0])
    shown = shown_connection(shown_sql(inner))
    return text if shown == inner else text[0] + shown.replace(text[0], text[0] * 2) + text[0]


def shown_bytes(sql: bytes) -> bytes:
    """The same for SQL as a record holds it; bytes that are not UTF-8 stay as they are."""
    text = sql.decode("utf-8", "surrogateescape")
    shown = shown_sql(text)
    return sql if shown is text else shown.encode("utf-8", "surrogateescape")

"""The text of an array, as PostgreSQL writes it: ``{1,NULL,"a b"}``."""

from __future__ import annotations

import re

_PART = re.compile(
    r'\s*+(?:(?P<open>\{)|(?P<close>\})|(?P<comma>,)|"(?P<quoted>(?:[^"\\]++|\\.)*+)"|(?P<plain>[^{},"\\]++))',
    re.DOTALL,
)


def read_array(text: str) -> list[object] | None:
    """Read the text of an array, ``{1,NULL,"a b"}``: texts, None and lists; None for what is not one."""
    stack: list[list[object]] = []
    at, expected = 0, True  # whether a value, and not a comma, comes next
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        at = part.end()
        if part["open"]:
            if not expected:
                return None
            stack.append([])
        elif part["close"]:
            if not stack or (expected and stack[-1]):
                return None
            done, expected = stack.pop(), False
            if not stack:
                return done if not text[at:].strip() else None
            stack[-1].append(done)
        elif part["comma"]:
            if expected or not stack:
                return None
            expected = True
        else:
            if not expected or not stack:
                return None
            plain = part["plain"]
            if plain is None:
                stack[-1].append(re.sub(r"\\(.)", r"\1", part["quoted"], flags=re.DOTALL))
            else:
                value = plain.strip()
                stack[-1].append(None if value.lower() == "null" else value)
            expected = False
    return None

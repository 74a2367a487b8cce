"""Names as PostgreSQL's SQL has them."""

from __future__ import annotations

from functools import lru_cache

SCHEMA = "spgrepl"
"""The schema of spgrepl's own tables."""

LONGEST_NAME = 63
"""How many bytes a name may have; the server would cut a longer one off in silence."""


class NameUnfit(ValueError):
    """A name cannot be one of a table, column or index in the server."""


@lru_cache(maxsize=4096)
def quoted(name: str) -> str:
    """A name, quoted: capital letters stay, words of SQL are none.

    Raises:
        NameUnfit: It is empty, too long, or holds a zero byte.
    """
    if not name or "\0" in name:
        raise NameUnfit(f"{name!r} cannot be a name in PostgreSQL: it is empty, or holds a zero byte")
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        raise NameUnfit(f"the name {name!r} is longer than the {LONGEST_NAME} bytes that PostgreSQL takes")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a string constant; `standard_conforming_strings` is on in every session."""
    return "'" + text.replace("'", "''") + "'"


def cut_name(name: str) -> str:
    """A name that is certain to be short enough."""
    return name.encode()[:LONGEST_NAME].decode("utf-8", "ignore")

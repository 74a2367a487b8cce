"""The text of a record cut into statements, whichever of three databases wrote it.

`spgrepl.text.sqltext` knows SQLite's rules. A string that ends elsewhere by the rules of PostgreSQL or MySQL would
make it find statements in a string, or miss the one after it: so such strings are put into SQLite's form first.
"""

from __future__ import annotations

import itertools
import re

from spgrepl.text.sqltext import significant_tokens, split_statements

# Sequences and groups that are tried again are possessive or atomic: no text makes a search try what it has tried.
_BLOCK_COMMENT = r"/\*(?>(?:[^*]++|\*(?!/))*)(?:\*/|\Z)"
_BACKTICKS = r"`(?>(?:[^`]++|``)*)(?:`|\Z)"
_NOT_IN_NAME = r"(?<![\w$\x80-\U0010ffff])"

# PostgreSQL: strings with backslashes, strings between dollars (one that is not closed reaches to the end), and an
# array's bracket, which opens no name.
_POSTGRESQL = re.compile(
    rf"--[^\n]*+|{_BLOCK_COMMENT}|{_BACKTICKS}"
    r"|\"(?>(?:[^\"]++|\"\")*)(?:\"|\Z)"
    rf"|(?P<string>{_NOT_IN_NAME}(?:[eE]'(?>(?:[^'\\]++|\\.|'')*)(?:'|\Z)"
    r"|\$(?P<tag>(?:[^\W\d]\w*+)?)\$(?:.*?\$(?P=tag)\$|.*)))"
    r"|'(?>(?:[^']++|'')*)(?:'|\Z)"
    r"|(?P<blank>\[(?=\s*+(?:[eE]?'|\[)))"
    r"|\[[^\]]*+(?:\]|\Z)",
    re.DOTALL,
)
_POSTGRESQL_SIGNS = re.compile(r"[$\\\[]")

# MySQL: text in either quotes, with backslashes, and comments that begin with # or with -- and a blank.
_MYSQL = re.compile(
    rf"{_BLOCK_COMMENT}|--(?=\s|\Z)[^\n]*+|{_BACKTICKS}"
    r"|(?P<minus>--)|(?P<blank>\#[^\n]*+)"
    r"|(?P<string>'(?>(?:[^'\\]++|\\.|'')*)(?:'|\Z)|\"(?>(?:[^\"\\]++|\\.|\"\")*)(?:\"|\Z))",
    re.DOTALL,
)
_INSTEAD = {"string": "''", "blank": " ", "minus": "- "}


def statements(text: str, mysql: bool = False) -> list[str]:
    """Cut a record's text into statements that `spgrepl.text.sqltext.tokenize` reads rightly.

    Args:
        text: Any text.
        mysql: Whether it is in the MySQL dialect.

    Returns:
        The statements, with other databases' strings and comments put into SQLite's form. The statements in the
        body of a trigger or function are a part of the one that creates it, or left out.
    """
    # After a byte order mark the end of a trigger's body is not found.
    text = text.removeprefix("\ufeff")
    if mysql:
        text = _MYSQL.sub(_instead, text)
    elif _POSTGRESQL_SIGNS.search(text):
        text = _POSTGRESQL.sub(_instead, text)
    pieces = split_statements(text)
    if mysql and pieces and pieces[0][:6].upper() == "CREATE":
        # Such a record is one statement: what stands after a semicolon is the body of what it creates.
        return pieces[:1]
    return _without_bodies(pieces)


def _instead(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup is None else _INSTEAD[found.lastgroup]


def _without_bodies(pieces: list[str]) -> list[str]:
    """Leave out the bodies of functions that stand between BEGIN ATOMIC and END."""
    kept = []
    inside = False
    for piece in pieces:
        if inside:
            inside = re.match(r"END\b", piece, re.IGNORECASE) is None
            continue
        kept.append(piece)
        inside = piece[:6].upper() == "CREATE" and _opens_body(piece)
    return kept


def _opens_body(piece: str) -> bool:
    if re.search("ATOMIC", piece, re.IGNORECASE) is None:
        return False
    words = [token.upper for token in significant_tokens(piece)]
    return ("BEGIN", "ATOMIC") in itertools.pairwise(words)

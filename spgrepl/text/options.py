"""Reading what users type: sizes, durations, positions and names."""

from __future__ import annotations

import re

from spgrepl.errors import UsageError
from spgrepl.text.shown import shown_quoted
from spgrepl.text.sqltext import fold_ascii

LARGEST_CHUNK = 16 * 1024**2
"""What a chunk of a segment may carry (PROTOCOL section 3)."""

_MOST_DIGITS = 20
"""So many has 2⁶⁴; Python itself refuses to read numbers of thousands of them."""

_SIZE = re.compile(r"(\d{1,20})\s*([KMG]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def parse_size(text: str) -> int:
    """Read a number of bytes: ``4096``, ``64M``, ``1 GiB``.

    Returns:
        Bytes, above 0. Units are powers of 1024.

    Raises:
        UsageError: The text is nothing of the kind.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(found[1]) * _UNITS[found[2].upper()] if found else 0
    if size <= 0:
        raise UsageError(f"{shown_quoted(text)} is not a size: write bytes above 0, such as 4096, 64M or 1G")
    return size


def parse_chunk(text: str) -> int:
    """Read the size of segment chunks: 1 byte to 16 MiB.

    Raises:
        UsageError: The text is nothing of the kind.
    """
    size = parse_size(text)
    if size > LARGEST_CHUNK:
        raise UsageError(f"{shown_quoted(text)} is more than a chunk may carry: 16M at most")
    return size


def parse_seconds(text: str) -> float:
    """Read a duration in seconds, above 0.

    Raises:
        UsageError: The text is no such number.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise UsageError(f"{shown_quoted(text)} is not a duration: write seconds above 0, such as 60 or 0.5")
    return seconds


def parse_open_transactions(text: str) -> float | None:
    """Read what becomes of transactions that do not end: ``wait``, or ``drop-after 60``.

    Returns:
        After how many seconds they are taken for dead; None for never.

    Raises:
        UsageError: The text is nothing of the kind.
    """
    word, _, seconds = text.strip().replace("=", " ").partition(" ")
    if word == "wait" and not seconds.strip():
        return None
    if word == "drop-after" and seconds.strip():
        return parse_seconds(seconds.strip())
    raise UsageError(f"{shown_quoted(text)} is neither wait nor drop-after SECONDS, such as drop-after 60")


def parse_count(text: str) -> int:
    """Read a whole number from 1 on.

    Raises:
        UsageError: The text is no such number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) >= 1):
        raise UsageError(f"{shown_quoted(text)} is not a number from 1 on")
    return int(text)


def parse_position(text: str) -> int:
    """Read a position in a log: a whole number of bytes from 0 to 2⁶⁴ − 1.

    Raises:
        UsageError: The text is no such number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) < 2**64):
        raise UsageError(f"{shown_quoted(text)} is not a position: write a number of bytes from 0 on")
    return int(text)


def parse_name(text: str) -> str:
    """Read a name as PostgreSQL does: it folds to lower case, in double quotes it stays as it is.

    Raises:
        UsageError: The text is empty, or a quotation mark is missing.
    """
    if len(text) >= 2 and text[0] == text[-1] == '"':
        name = text[1:-1].replace('""', '"')
        if name and '"' not in text[1:-1].replace('""', ""):
            return name
    elif text.strip() and '"' not in text:
        return fold_ascii(text)
    raise UsageError(
        f"{shown_quoted(text)} is not a name: write it as in SQL, with double quotes where capitals are to stay"
    )


def parse_publication(text: str) -> str:
    """Read the name of a publication; see `parse_name`.

    Raises:
        UsageError: It is not one; the message names the option.
    """
    try:
        return parse_name(text)
    except UsageError as error:
        raise UsageError(f"--publication: {error}") from error


def parse_crc(text: str) -> int:
    """Read a CRC-32 in hex, with or without ``0x``.

    Raises:
        UsageError: The text is nothing of the kind.
    """
    digits = text.lower().removeprefix("0x")
    if re.fullmatch(r"[0-9a-f]{1,8}", digits) is None:
        raise UsageError(
            f"{shown_quoted(text)} is not a CRC-32: write eight hex digits, as in the message that names the "
            f"record"
        )
    return int(digits, 16)

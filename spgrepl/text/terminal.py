"""What is printed where a terminal, a pipe or a locale shows less than Unicode."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TextIO

_PLAIN = str.maketrans(
    {"…": "...", "→": "->", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "×": "x"}
)
"""Typographic characters of help texts, as ASCII writes them."""


def make_output_tolerant() -> None:
    r"""Let nothing that is printed fail for its characters.

    What standard output cannot show, and parts of file names that are not UTF-8, come out as ``\xe9`` or
    ``\udcff``. A standard output that is closed takes everything and keeps nothing.
    """
    if sys.stdout is None:  # type: ignore[unreachable, unused-ignore]
        # Without a file there, the next one that is opened would get the number of standard output.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Throw away what standard output has not taken: Python would fail with it once more at its end."""
    try:
        handle = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, handle)
    os.close(nothing)


def shows(text: str, stream: TextIO | None = None) -> bool:
    """Whether a stream can show a text as it is.

    Args:
        text: The text.
        stream: Where it is to be printed; standard output by default.
    """
    target = sys.stdout if stream is None else stream
    try:
        text.encode(getattr(target, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def plain(text: str, stream: TextIO | None = None) -> str:
    """A help text, with its typographic characters in ASCII where a stream cannot show them."""
    return text if shows(text, stream) else text.translate(_PLAIN)


def json_line(value: object) -> str:
    """A value as one line of JSON, with characters escaped where standard output cannot show them."""
    return escaped_json(json.dumps(value, ensure_ascii=False))


def escaped_json(text: str) -> str:
    """JSON as text, with characters escaped where standard output cannot show them."""
    # Outside of strings JSON has none but ASCII characters.
    return text if shows(text) else "".join(one if one.isascii() else json.dumps(one)[1:-1] for one in text)

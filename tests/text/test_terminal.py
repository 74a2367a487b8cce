"""What is printed where less than Unicode is shown."""

from __future__ import annotations

import io
import json

import pytest

from spgrepl.text import terminal
from spgrepl.text.terminal import escaped_json, json_line, plain, shows


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("a", "ascii", True),
        ("é", "ascii", False),
        ("é", "latin-1", True),
        ("→", "latin-1", False),
        ("→", "utf-8", True),
    ],
)
def test_what_a_stream_can_show(text: str, encoding: str, shown: bool) -> None:
    assert shows(text, stream(encoding)) is shown


def test_typographic_characters_have_a_form_in_ascii() -> None:
    text = "a → b … “c” ‘d’ – 3 × 4"
    assert plain(text, stream("utf-8")) == text
    assert plain(text, stream("ascii")) == "a -> b ... \"c\" 'd' - 3 x 4"


def test_json_reads_back_wherever_it_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"name": "é→\U0001f600", "n": 1}
    for encoding in ("utf-8", "latin-1", "ascii"):
        monkeypatch.setattr(terminal.sys, "stdout", stream(encoding))
        line = json_line(value)
        assert json.loads(line) == value
        line.encode(encoding)
        assert line == escaped_json(json.dumps(value, ensure_ascii=False))

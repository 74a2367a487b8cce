"""Rows as a command prints them."""

from __future__ import annotations

import pytest

from spgrepl.base.results import QueryResult
from spgrepl.cli.parts.rows import print_table


def test_a_table_of_all_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are aligned by what a terminal shows; numbers stand to the right."""
    rows: list[tuple[int | float | str | bytes | None, ...]] = [
        (1, None, "naïve", b"\x00\xff"),
        (-200, 2.5, "日本", b""),
        (3, 0.1, "two\nlines\x1b", b"x" * 100),
    ]
    print_table(QueryResult(("id", "number", "te\txt", "blob"), rows))
    assert capsys.readouterr().out.splitlines() == [
        "  id  number  te\\txt            blob",
        "----  ------  ----------------  ------------------------------------------------------------",
        "   1    NULL  naïve             x'00ff'",
        " 200     2.5  日本              x''".replace(" 200", "-200"),
        "   3     0.1  two\\nlines\\u{1b}  x'" + "78" * 28 + "7…",
        "(3 rows)",
    ]


def test_a_table_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """The columns are shown all the same."""
    print_table(QueryResult(("a", "b"), []))
    assert capsys.readouterr().out.splitlines() == ["a  b", "-  -", "(0 rows)"]

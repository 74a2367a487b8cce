"""The pages that lead through the code and to answers: what they name is there, and can be reached."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "spgrepl"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
QUESTIONS = (ROOT / "docs" / "questions.md").read_text("utf-8")

HOPS = re.findall(r"^\| .+ \| `([\w/]+\.py)` \| `([\w.]+)` \|$", PAGE, re.MULTILINE)


@cache
def names_in(file: str) -> set[str]:
    """Functions, classes and their methods, as ``Class.method``, those of bases in the same file included."""
    found: dict[str, set[str]] = {}
    for node in ast.parse((PACKAGE / file).read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = {name for base in node.bases for name in found.get(getattr(base, "id", ""), ())}
            found[node.name] = bases | {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = set()
    return set(found) | {f"{name}.{method}" for name, methods in found.items() for method in methods}


def test_three_ways_have_their_hops() -> None:
    ways = re.findall(r"^## (A .+)$", PAGE, re.MULTILINE)
    assert ways == [
        "A byte from the log to a socket",
        "A byte from a socket to the database",
        "A statement from `execute()` to the log",
    ]
    assert len(HOPS) >= 40


@pytest.mark.parametrize(("file", "name"), HOPS)
def test_each_hop_is_there(file: str, name: str) -> None:
    assert (PACKAGE / file).is_file(), file
    assert name in names_in(file)


def test_every_package_is_in_the_table() -> None:
    top = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    table = PAGE[PAGE.index("| package |") : PAGE.index("Each package's")]
    named = {
        name
        for row in table.splitlines()
        for name in re.findall(r"`(\w+)`", row.split("|")[1:2][0] if "|" in row else "")
    }
    assert top - named == set()
    assert named - top == set()


def test_files_that_the_text_names_are_there() -> None:
    for file in re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE + QUESTIONS):
        assert (PACKAGE / file).is_file() or (ROOT / file).is_file(), file


# -- questions ------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """What links may lead to within a page, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_twelve_questions_are_one_click_from_the_readme() -> None:
    assert re.findall(r"^\*\*(\d+)\. .+\?\*\* ", QUESTIONS, re.MULTILINE) == [
        str(number) for number in range(1, 13)
    ]
    assert "](docs/questions.md)" in (ROOT / "README.md").read_text("utf-8")
    assert "](docs/architecture.md)" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", QUESTIONS))
def test_their_answers_lead_on(target: str) -> None:
    name, _, anchor = target.partition("#")
    path = ROOT / "docs" / name
    assert path.is_file(), target
    assert not anchor or anchor in anchors(path), target

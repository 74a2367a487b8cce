"""What the documents say can be typed: every command line is understood, every option is explained."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.process.tap import FollowerOptions, MasterOptions, SubscriberOptions
from tests.test_site import generated

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OPERATING = (ROOT / "docs" / "operating.md").read_text()


def test_there_are_two_commands_to_set_up() -> None:
    assert re.findall(r"^<!-- (\w+) command -->\n```sh\n(.*)\n```$", README, re.MULTILINE) == [
        ("demo", "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/spgrepl demo"),
        ("test", "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"),
    ]


ROLES = {"master": MasterOptions, "follower": FollowerOptions, "subscriber": SubscriberOptions}


def option_names(options: Any) -> set[str]:
    """All long options of a role."""
    given = options()
    return {name.removesuffix("=") for name in given.longOpt} - {"help", "version"}


@pytest.mark.parametrize("role", ROLES)
def test_every_option_of_a_server_is_explained(role: str) -> None:
    for name in option_names(ROLES[role]):
        assert re.search(rf"^\|.*`[^`]*--{name}[ `]", OPERATING, re.MULTILINE), (role, name)


def test_no_option_is_explained_that_is_not_there() -> None:
    explained = set(re.findall(r"--([a-z][a-z-]*)", OPERATING[: OPERATING.index("## Status")])) - {
        "pidfile",
        "logfile",
    }
    assert explained == set().union(*map(option_names, ROLES.values()))


def test_every_field_of_a_status_is_explained_once() -> None:
    table = OPERATING[OPERATING.index("## Status") : OPERATING.index("What is not known is null")]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    fields = [(name, role) for names, role in rows for name in re.findall(r"`([^`]+)`", names)]
    assert len(fields) > 40
    assert sorted(fields) == sorted(set(fields))


def schema_names(schema: Any) -> Iterator[str]:
    """The names of all fields in a JSON schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
    for value in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(value, dict | list):
            yield from schema_names(value)


def test_every_field_of_the_schema_is_explained_by_hand() -> None:
    """The reference lists them with their types; what each means stands in a page that somebody wrote."""
    written = {path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "reference"}
    text = " ".join(path.read_text("utf-8") for path in written)
    explained = set(re.findall(r"`(?:[a-z_.]*\.)?([a-z_]+)`", text))
    names = set(schema_names(json.loads((ROOT / "docs" / "status.schema.json").read_text("utf-8"))))
    assert len(names) > 100
    assert names - explained == {"lag"}, "`lag.bytes` and `lag.seconds` are explained"


PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.with_suffix("") not in {ROOT / "docs" / name for name in generated.PAGES}
)


@pytest.mark.parametrize("document", PAGES)
def test_links_lead_to_files(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        assert "://" in target or (path.parent / target).exists(), target


# -- files beside a database ----------------------------------------------------------------------------------

FILES = OPERATING[OPERATING.index("## Files beside a database") :].split("\n## ")[0]
ROWS = [line for line in FILES.splitlines() if line.startswith("| `")]


def test_every_file_that_paths_name_is_in_the_table() -> None:
    paths = DatabasePaths.of("main.db")
    members = vars(DatabasePaths).items()
    named = {str(getattr(paths, name)) for name, member in members if isinstance(member, property)}
    assert len(named) > 7
    for path in {str(paths.database), str(paths.wal), *named}:
        top = path.split("/")[0]
        assert any(f"`{top}`" in row or f"`{top}/`" in row for row in ROWS), path


def made_names() -> Iterator[tuple[str, str]]:
    """The parts of names that the code puts after or before the name of another file, and where."""
    for path in sorted((ROOT / "spgrepl").rglob("*.py")):
        if path.name in ("__main__.py", "demo.py"):
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        constants = vars(importlib.import_module(module))
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            for part in name_parts(call) if isinstance(call, ast.Call) else ():
                text = part.value if isinstance(part, ast.Constant) else constants.get(getattr(part, "id", ""))
                if isinstance(text, str):
                    yield text, f"{path.name}:{call.lineno}"


def name_parts(call: ast.Call) -> list[Any]:
    """The parts of a call that makes a name that are not the name of another file."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if function == "own_name":
        return call.args[1:]
    if function == "mkdtemp":
        return [keyword.value for keyword in call.keywords if keyword.arg == "prefix"]
    if function != "with_name":
        return []
    return [part for part in ast.walk(call.args[0]) if is_text(part) or isinstance(part, ast.Name)]


def is_text(part: ast.AST) -> bool:
    return isinstance(part, ast.Constant) and isinstance(part.value, str) and len(part.value) > 1


def test_every_name_that_the_code_makes_is_in_the_table() -> None:
    made = list(made_names())
    assert {"tmp", ".replay.json", ".cut-", ".old-", "rebuilding", "spgrepl-spool-"} <= {name for name, _ in made}
    missing = [(name, where) for name, where in made if name not in FILES]
    assert not missing, "name these files in docs/operating.md, Files beside a database"

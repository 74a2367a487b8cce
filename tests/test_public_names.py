"""The public names are there, and no import installs a reactor or loads more than is asked for."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import spgrepl


def test_every_public_name_can_be_imported() -> None:
    for name in spgrepl.__all__:
        assert getattr(spgrepl, name) is not None
        assert name in dir(spgrepl)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(spgrepl.__file__).read_text())
    typed = {
        alias.name: node.module.removeprefix("spgrepl.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("spgrepl.")
        for alias in node.names
    }
    assert typed.pop("__version__") == "_version"
    assert typed == spgrepl._MODULES
    assert sorted([*typed, "__version__"]) == sorted(spgrepl.__all__)


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        _ = spgrepl.Nobody  # type: ignore[attr-defined]


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )


def test_no_module_installs_a_reactor() -> None:
    names = [
        info.name for info in pkgutil.walk_packages(spgrepl.__path__, "spgrepl.") if "__main__" not in info.name
    ]
    assert "spgrepl.service" in names
    assert "twisted.internet.reactor" not in loaded_after(f"import {', '.join(names)}")


def test_reading_a_log_loads_no_server() -> None:
    loaded = loaded_after("import spgrepl.cli.wal, spgrepl.cli.compare, spgrepl.cli.wait")
    assert not loaded & {"twisted.web.server", "sqlglot", "spgrepl.service"}

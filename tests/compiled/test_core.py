"""Which code runs: the compiled core where there is one, unless it is forbidden, broken or of another version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = "from spgrepl.compiled.core import CORE, IMPLEMENTATION; print(CORE is not None, IMPLEMENTATION)"


def shown(before: str = "", **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "SPGREPL_PURE_PYTHON"}
    done = subprocess.run(
        [sys.executable, "-c", f"{before}\n{SHOW}"],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_variable_forces_python() -> None:
    assert shown(SPGREPL_PURE_PYTHON="1") == "False pure Python: SPGREPL_PURE_PYTHON is set"


@pytest.mark.parametrize("value", ["", "0"])
def test_a_variable_that_says_no_changes_nothing(value: str) -> None:
    assert shown(SPGREPL_PURE_PYTHON=value) == shown()


def test_nothing_was_compiled() -> None:
    missing = "import sys; sys.modules['spgrepl._core'] = None"
    assert shown(missing) == "False pure Python: nothing was compiled"


def test_a_core_of_another_version_is_not_used() -> None:
    old = "import sys, types; sys.modules['spgrepl._core'] = types.ModuleType('spgrepl._core')"
    assert shown(old).startswith("False pure Python: the compiled core is of another version")


def test_a_core_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    import importlib.machinery

    name = f"_core{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    (tmp_path / name).write_bytes(b"\x7fELF and no more")
    broken = f"import spgrepl; spgrepl.__path__.insert(0, {str(tmp_path)!r})"
    assert shown(broken).startswith("False pure Python: the compiled core cannot be loaded: ")
    assert name in shown(broken)

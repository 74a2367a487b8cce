"""The house: no circle of imports, packages that name what they import, folders that a reader can hold."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "spgrepl"

MOST_MODULES = 15
"""In one folder, without its `__init__`; of tests, without those that mirror a module (`test_mirror`)."""


def modules() -> dict[str, Path]:
    """Every module and package by its name below ``spgrepl``; the files at the top are in no package."""
    names = {path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    return {
        name.removesuffix(".__init__"): path
        for path, name in sorted(names.items())
        if len(path.parents) > len(PACKAGE.parents) + 1
    }


MODULES = modules()
PACKAGES = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")


def imported(path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules that a file imports, for its types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: write imports in full"
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {
                full if full.removeprefix("spgrepl.") in known else str(node.module) for full in inner.values()
            }
    return {name.removeprefix("spgrepl.") for name in found if name.startswith("spgrepl.")} & set(known)


IMPORTS = {name: imported(path, MODULES) - {name} for name, path in MODULES.items()}


def package_of(module: str) -> str:
    """The package that a module is in; a package is in itself."""
    return module if module in PACKAGES else module.rpartition(".")[0]


def packages_imported_by(package: str) -> set[str]:
    """The other packages of which modules of a package import something."""
    inner = {name for name in MODULES if package_of(name) == package}
    return {package_of(other) for name in inner for other in IMPORTS[name]} - {package}


PACKAGE_IMPORTS = {name: packages_imported_by(name) for name in PACKAGES}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle in a graph; nothing if there is none."""
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found() -> None:
    """The tests below rest on it."""
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
    assert IMPORTS["wire.record_frames"] >= {"wire.frames", "log.format.records"}


def test_no_package_goes_round_in_circles() -> None:
    assert circle(PACKAGE_IMPORTS) == []


def test_no_module_goes_round_in_circles() -> None:
    assert circle(IMPORTS) == []


def named(package: str) -> set[str]:
    """The packages that the last paragraph of a package's docstring names."""
    text = ast.get_docstring(ast.parse(MODULES[package].read_text("utf-8"))) or ""
    found = re.search(r"^Imports: ([^.]*(?:\.[a-z][^.]*)*)\.\Z", text, re.MULTILINE)
    assert found, f"{package}: the docstring does not end with 'Imports: `a`, `b`.'"
    return set(re.findall(r"`([a-z_.]+)`", found[1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_names_the_packages_that_it_imports(package: str) -> None:
    line = "Imports: " + ", ".join(f"`{name}`" for name in sorted(PACKAGE_IMPORTS[package])) + "."
    assert named(package) == PACKAGE_IMPORTS[package], f"write in the docstring of {package}: {line}"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_docstring_is_a_map(package: str) -> None:
    """What comes in, what goes out; every module of the package is in it."""
    text = " ".join((ast.get_docstring(ast.parse(MODULES[package].read_text("utf-8"))) or "").split())
    assert "What comes in: " in text
    assert "hat goes out: " in text
    inner = {name.rpartition(".")[2] for name in MODULES if name.rpartition(".")[0] == package}
    told = set(re.findall(r"`(\w+)[`.]", text))
    assert inner - told == set(), "name these modules in the docstring, and say what each owns"


def mirrors(path: Path) -> bool:
    """Whether a file is the test of the module that has its place in the package."""
    if not path.is_relative_to(ROOT / "tests"):
        return False
    module = path.with_name(path.name.removeprefix("test_"))
    return path.name.startswith("test_") and (PACKAGE / module.relative_to(ROOT / "tests")).is_file()


def test_no_folder_is_longer_than_a_reader_can_hold() -> None:
    for root in (PACKAGE, ROOT / "tests"):
        for folder in {path.parent for path in root.rglob("*.py")}:
            names = sorted(
                path.name for path in folder.glob("*.py") if path.name != "__init__.py" and not mirrors(path)
            )
            assert len(names) <= MOST_MODULES, f"{folder.relative_to(ROOT)}: {names}"


MOST_ARGUMENTS = 5


def long_constructors(path: Path) -> list[str]:
    """The classes of a module whose constructor takes more arguments than a reader holds in mind."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                    arguments = one.args
                    count = len(arguments.posonlyargs) + len(arguments.args) - 1 + len(arguments.kwonlyargs)
                    if count > MOST_ARGUMENTS:
                        found.append(f"{node.name}: {count}")
    return found


def test_what_travels_together_is_a_value() -> None:
    """Frozen attrs values may have as many attributes as they like; nothing else may ask for so much."""
    long = {name: long_constructors(path) for name, path in MODULES.items()}
    assert {name: found for name, found in long.items() if found} == {}


def test_a_long_constructor_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("class A:\n    def __init__(self, a, b, c, d, *, e, f): ...\n")
    assert long_constructors(module) == ["A: 6"]

"""The public names are there, and no import installs a reactor or loads more than is asked for."""

from __future__ import annotations

import ast
import builtins
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zope.interface.interface import InterfaceClass

import spgrepl
from spgrepl import errors
from spgrepl.replica.link import ILinkOwner


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
    assert typed.pop("MODULES") == "_public"
    assert typed == spgrepl._MODULES
    assert sorted([*typed, "__version__"]) == sorted(spgrepl.__all__)


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        _ = spgrepl.Nobody  # type: ignore[attr-defined]


# -- what a user meets -----------------------------------------------------------------------------------------

CALLED_BY_CONNECTIONS = set(ILinkOwner.names())
"""Methods of the two services that only their connections call."""

ASKED_BY_ROLES = {"describe", "away"}
"""Methods that tell roles a part of their status, as values of `spgrepl.watch.status`; users read ``status()``."""

MADE_BY_PRIMARY = {"Transaction", "RowStream"}
"""Nobody else calls these classes."""


def functions(public: Any) -> Iterator[Any]:
    """What can be called of a public name."""
    if not inspect.isclass(public):
        yield public
        return
    for name, member in inspect.getmembers(public):
        inner = name in CALLED_BY_CONNECTIONS | ASKED_BY_ROLES or (
            name == "__init__" and public.__name__ in MADE_BY_PRIMARY
        )
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and not inner and (name == "__init__" or not name.startswith("_")):
            yield function


def types_of(function: Any) -> set[str]:
    """The classes of this package that the signature of a function names."""
    module = sys.modules[function.__module__]
    words = {word for text in function.__annotations__.values() for word in re.findall(r"[A-Za-z_]\w*", str(text))}
    return {word for word in words if is_ours(getattr(module, word, None))}


def is_ours(value: object) -> bool:
    kind = inspect.isclass(value) or isinstance(value, InterfaceClass)
    return kind and str(getattr(value, "__module__", "")).startswith("spgrepl")


def raised(docstring: str | None) -> set[str]:
    """The errors that a docstring names."""
    found = re.search(r"Raises:\n(.*?)(?:\n\s*\n|\Z)", docstring or "", re.DOTALL)
    return set(re.findall(r"^\s+(\w+): ", found[1], re.MULTILINE)) if found else set()


PUBLIC = {name: getattr(spgrepl, name) for name in spgrepl.__all__}
CALLABLE = {name: value for name, value in PUBLIC.items() if inspect.isclass(value) or inspect.isfunction(value)}


@pytest.mark.parametrize("name", CALLABLE)
def test_the_names_in_public_signatures_are_public(name: str) -> None:
    named = {one for function in functions(PUBLIC[name]) for one in types_of(function)}
    assert named <= set(spgrepl.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_errors_that_public_docstrings_name_are_public(name: str) -> None:
    value = PUBLIC[name]
    texts = [getattr(value, "__doc__", None)]
    if isinstance(value, InterfaceClass):
        texts += [member.__doc__ for _, member in value.namesAndDescriptions()]
    elif name in CALLABLE:
        texts += [function.__doc__ for function in functions(value)]
    named = set().union(*map(raised, texts))
    assert {one for one in named if not hasattr(builtins, one)} <= set(spgrepl.__all__)


def test_every_error_is_public() -> None:
    ours = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert ours <= set(spgrepl.__all__)


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )


def test_no_module_installs_a_reactor() -> None:
    names = [
        info.name for info in pkgutil.walk_packages(spgrepl.__path__, "spgrepl.") if "__main__" not in info.name
    ]
    assert "spgrepl.server.roles" in names
    assert "twisted.internet.reactor" not in loaded_after(f"import {', '.join(names)}")


def test_reading_a_log_loads_no_server() -> None:
    loaded = loaded_after("import spgrepl.cli.wal, spgrepl.cli.compare, spgrepl.cli.wait")
    assert not loaded & {"twisted.web.server", "sqlglot", "spgrepl.server.roles"}

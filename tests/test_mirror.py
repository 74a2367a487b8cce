"""Where the tests of a module are: `spgrepl/log/reader.py` is tested by `tests/log/test_reader.py`, and so on.

A module that holds only values, constants, words or types has no behaviour of its own to test: `ONLY_VALUES` names
those, with what they hold. More tests may stand beside the mirrored ones, under the name of what they are about.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from spgrepl._public import MODULES as PUBLIC
from tests.test_architecture import IMPORTS, MODULES, PACKAGES, ROOT

TESTS = ROOT / "tests"
NAMES = sorted(name for name in MODULES if name not in PACKAGES)

ONLY_VALUES = {
    "access.interfaces": "two interfaces",
    "comparing.table_reader": "an interface and its values",
    "engines.targets.options": "options of targets, as a value",
    "errors.formats": "errors, which only carry what they are told",
    "errors.peers": "errors, which only carry what they are told",
    "interfaces.store": "an interface",
    "log.source": "two interfaces",
    "master.shared.limits": "numbers",
    "master.shared.states": "names of states",
    "primary.states": "names of states",
    "replica.following.states": "choices and names of states",
    "replica.phases": "names of phases",
    "rows.changes": "a change of a row, as a value",
    "spgsql.language.nodes": "the parts of a statement, as values",
    "spgsql.typed.compiling": "a type of what compiles",
    "sqlite.any_connection": "types of connections of several libraries",
}
"""Modules without a test of their own, and why."""

BY_MAIN = ("cli.",)
"""What `spgrepl.cli.main` runs by name: its tests may call that, and nothing else of it."""

THROUGH = {
    "base.results": "primary",
    "engines.targets.initial_copy": "engines.targets.sqlite_target",
    "engines.targets.stored_shapes": "engines.targets.sqlite_target",
    "master.streams.logical": "master.protocol",
    "master.streams.physical": "master.protocol",
    "primary.writing.recovery": "primary.writing.writer",
    "primary.writing.transactions": "primary.primary",
    "replica.following.local_files": "replica.following.replay",
    "replica.subscribing.copy_link": "replica.subscribing.service",
    "replica.subscribing.history": "replica.subscribing.service",
    "replica.subscribing.initial_copies": "replica.subscribing.service",
    "segments.folder": "segments.store",
    "spgsql.changes": "spgsql.replay",
    "spgsql.definitions": "spgsql.replay",
}
"""Modules whose tests put their questions to another one, which is made of them."""

NOT_YET = {
    "access.options",
    "access.pem",
    "engines.cold_rows",
    "engines.postgresql.approximating",
    "engines.postgresql.copy_state",
    "engines.postgresql.engine",
    "engines.postgresql.followed_tables",
    "engines.postgresql.insert_runs",
    "engines.postgresql.log_statements",
    "engines.postgresql.log_work",
    "engines.postgresql.master_effects",
    "engines.postgresql.received",
    "engines.postgresql.row_groups",
    "engines.postgresql.row_statements",
    "engines.postgresql.row_writer",
    "engines.postgresql.schema_changes",
    "engines.postgresql.spg_log",
    "engines.postgresql.statement_meanings",
    "engines.server_cold_rows",
    "engines.sqlite_applier",
    "engines.sqlite_segments",
    "engines.targets.postgresql_target",
    "engines.targets.server_state",
    "engines.targets.stored_state",
    "engines.targets.subscribed_rows",
    "engines.targets.table_shape",
    "feed.decoding",
    "feed.service",
    "feed.source",
    "feed.start",
    "pairs.pair",
    "postgresql.column_types",
    "postgresql.comparing.canonical",
    "postgresql.copying.copy_lines",
    "postgresql.copying.declared",
    "postgresql.copying.defaults",
    "postgresql.copying.expressions",
    "postgresql.copying.row_lines",
    "postgresql.copying.snapshot_copy",
    "postgresql.copying.source_schema",
    "postgresql.copying.source_tables",
    "postgresql.copying.spg_effects",
    "postgresql.copying.spg_types",
    "postgresql.copying.table_ddl",
    "postgresql.copying.translation",
    "postgresql.copying.type_map",
    "postgresql.driver",
    "postgresql.faults",
    "postgresql.features",
    "postgresql.name_guard",
    "postgresql.names",
    "postgresql.own_schema",
    "postgresql.reading.closure",
    "postgresql.reading.ddl",
    "postgresql.reading.node_trees",
    "postgresql.reading.reader",
    "postgresql.reading.rules",
    "postgresql.session",
    "postgresql.spelling",
    "postgresql.tables",
    "postgresql.transactions",
}
"""Modules that are tested from outside only; one that gets a test leaves here."""


def place_of(module: str) -> Path:
    """Where the tests of a module belong."""
    *folders, name = module.split(".")
    return TESTS.joinpath(*folders, f"test_{name}.py")


def is_test(node: ast.AST) -> bool:
    """Whether something that a file defines is a test, or a class of tests."""
    if isinstance(node, ast.ClassDef):
        return any(is_test(one) for one in node.body)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def names_in(node: ast.AST) -> set[str]:
    """The names that a piece of code uses, the fixtures that it asks for, and the modules named in its texts."""
    found = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            found.add(one.id)
        elif isinstance(one, ast.arg):
            found.add(one.arg)
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and "spgrepl." in one.value:
            for name in re.findall(r"\bspgrepl(?:\.\w+)+", one.value):
                found |= {name, name.rpartition(".")[0]}
    return found


class FileOfTests:
    """What a file of tests defines, and where it has its other names from."""

    def __init__(self, path: Path) -> None:
        self.uses: dict[str, set[str]] = {}
        self.imported: dict[str, set[str]] = {}
        self.tests: list[str] = []
        tree = ast.parse(path.read_text("utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.uses[node.name] = names_in(node)
                self.tests += [node.name] if is_test(node) else []
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        self.uses[target.id] = names_in(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = meant(str(node.module), alias.name)

    def reached_from(self, name: str) -> set[str]:
        """What a name of the file reaches, itself and through what else is in the file: modules of the package."""
        found: set[str] = set()
        seen, left = {name}, [name]
        while left:
            one = left.pop()
            found |= {one} if one.startswith("spgrepl.") else set()
            for source in self.imported.get(one, ()):
                found |= modules_behind(source)
            more = self.uses.get(one, set()) - seen
            seen |= more
            left += more
        return found


@functools.cache
def meant(place: str, name: str) -> set[str]:
    """Where an imported name may come from: a module, or a module of tests with a name in it."""
    found = {place, f"{place}.{name}"}
    if place == "spgrepl" and name in PUBLIC:
        found.add(f"spgrepl.{PUBLIC[name]}")
    package = place.removeprefix("spgrepl.")
    if package in PACKAGES:
        for node in ast.parse(MODULES[package].read_text("utf-8")).body:
            if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
                found.add(str(node.module))
    return found


@functools.cache
def modules_behind(source: str) -> set[str]:
    """What a test reaches by something that it imports, which may be from other tests."""
    place, _, name = source.rpartition(".")
    path = ROOT.joinpath(*place.split(".")).with_suffix(".py")
    return read(path).reached_from(name) if place.startswith("tests.") and path.exists() else {source}


@functools.cache
def read(path: Path) -> FileOfTests:
    """A file of tests, read once."""
    return FileOfTests(path)


@functools.cache
def reached_by_tests(path: Path) -> dict[str, set[str]]:
    """What each test of a file reaches."""
    file = read(path)
    return {name: file.reached_from(name) for name in file.tests}


def users(path: Path, module: str) -> list[str]:
    """The tests of a file that reach a module of the package."""
    sought = {f"spgrepl.{module}"} | ({"spgrepl.cli.main"} if module.startswith(BY_MAIN) else set())
    return sorted(name for name, reached in reached_by_tests(path).items() if reached & sought)


@functools.cache
def made_of(module: str) -> set[str]:
    """What a module imports, and what that imports, and so on."""
    found: set[str] = set()
    left = [module]
    while left:
        more = IMPORTS[left.pop()] - found
        found |= more
        left += more
    return found


def fault(module: str) -> str | None:
    """What is wrong with where a module is tested."""
    path = place_of(module)
    shown = path.relative_to(ROOT)
    if module in ONLY_VALUES or module in NOT_YET:
        return f"{shown} is there: take {module} out of its list" if path.exists() else None
    if not path.exists():
        return f"{shown} is missing"
    user = THROUGH.get(module, module)
    if not users(path, user):
        return f"no test in {shown} uses spgrepl.{user}"
    if user != module and (module not in made_of(user) or users(path, module)):
        return f"{module} is not tested through {user}: take it out of THROUGH"
    return None


def test_each_module_is_tested_under_its_name() -> None:
    """One test for all: their syntax trees are too large to be looked through after each."""
    assert [found for module in NAMES if (found := fault(module)) is not None] == []


def test_the_lists_name_modules() -> None:
    assert set(ONLY_VALUES) | set(THROUGH) | NOT_YET <= set(NAMES)
    assert not set(ONLY_VALUES) & NOT_YET


def test_what_uses_a_module_is_found(tmp_path: Path) -> None:
    """The tests above rest on it."""
    path = tmp_path / "test_file.py"
    path.write_text(
        "from spgrepl import Damage\n"
        "from spgrepl.log import durable as d\n"
        "from spgrepl.log.writer import LogWriter\n"
        "from spgrepl.testing import Cluster\n"
        "from tests.spgsql.copy import Copy\n"
        "def helper(): return d.DurableFile()\n"
        "def test_a(): helper()\n"
        "class Kit:\n    def test_b(self): LogWriter()\n"
        "def test_c(cluster): Cluster()\n"
        "def test_d(): Damage()\n"
        "def test_e(): run('from spgrepl.base.beat import Beat')\n"
        "def test_f(): Copy()\n"
    )
    assert users(path, "log.durable") == ["test_a"]
    assert users(path, "log.writer") == ["Kit"]
    assert users(path, "testing.cluster") == ["test_c"]
    assert users(path, "log.reader") == ["test_d"]
    assert users(path, "base.beat") == ["test_e"]
    assert users(path, "spgsql.replay") == ["test_f"]
    assert users(path, "log.tailer") == []

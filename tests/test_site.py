"""The documentation as a site: what is made from the code, that each page can be reached, that it is built."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from spgrepl import cli, errors
from spgrepl.watch.registry import METRICS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generated = _load(DOCS / "generated.py")


@pytest.mark.parametrize("role", generated.ROLES)
def test_each_option_of_a_server_is_in_the_reference(role: str) -> None:
    page = generated.options_page().split(f"## `twistd spgrepl {role}`")[1].split("\n## ")[0]
    options = generated.ROLES[role]()
    for name in {long.removesuffix("=") for long in options.longOpt} - {"help", "version"}:
        row = re.search(rf"^\| `--{name}[ `,][^|]*\|[^|]*\| (.*) \|$", page, re.MULTILINE)
        assert row is not None, name
        assert row[1].strip(), name


def test_each_argument_of_a_command_is_in_the_reference() -> None:
    page = generated.commands_page()
    found = dict(generated.commands())
    assert {name.split()[1] for name in found} == set(cli.COMMANDS)
    assert "spgrepl segments verify" in found
    for name, parser in found.items():
        text = page[page.index(f"## `{name}`\n") :].split("\n## ")[0]
        arguments = [*parser._option_string_actions, *parser._get_positional_actions()]
        assert arguments
        for option in set(parser._option_string_actions) - {"-h", "--help"}:
            assert re.search(rf"^\| `[^`]*{option}[ `,]", text, re.MULTILINE), (name, option)


def test_each_error_is_in_the_reference_with_its_word_and_code() -> None:
    page = generated.errors_page()
    for name, error in vars(errors).items():
        if inspect.isclass(error) and error is not errors.SpgReplError:
            assert re.search(rf"^\| `{name}` \| `[a-z_]+` \| {error.exit_code} \| .+ \|$", page, re.MULTILINE), (
                name
            )
    assert "| `HistoryDiverged` | `history_diverged` | 76 |" in page


def test_each_field_of_a_status_is_in_the_reference() -> None:
    page = generated.fields_page()
    for field in ("positions.applied", "peers.lag_bytes", "problems.kind", "segments.current", "lag.seconds"):
        assert f"| `{field}` |" in page, field


def test_each_metric_is_in_the_reference() -> None:
    page = generated.metrics_page()
    assert len(METRICS) > 40
    for one in METRICS.values():
        assert f"| `{one.shown}` | {one.kind.value} | " in page
        assert one.text in page
    assert "| `spgrepl_rows_total` | counter | `role`, `name`, `table`, `kind` | " in page


def test_each_page_can_be_reached_from_the_first() -> None:
    listed = set()
    index = (DOCS / "index.md").read_text("utf-8")
    for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", index, re.MULTILINE | re.DOTALL):
        listed |= {line for line in tree.splitlines() if line and not line.startswith(":")}
    written = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")} - {"index"}
    assert listed == written | set(generated.PAGES)


def test_the_site_is_built_without_a_warning_and_can_be_searched(tmp_path: Path) -> None:
    for name in ("sphinx", "furo", "myst_parser"):
        if importlib.util.find_spec(name) is None:
            pytest.skip("the extra docs is not installed")
    for name in ("docs", "spgrepl", "contrib", "examples"):  # what it writes stays out of the clone
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), ROOT / "setup.cfg"):
        shutil.copy(path, tmp_path)
    (tmp_path / "tests").mkdir()
    for path in ROOT.glob("tests/*.py"):  # what CONTRIBUTING.md links to
        shutil.copy(path, tmp_path / "tests")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", "site"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    index = (tmp_path / "site" / "searchindex.js").read_text("utf-8")
    assert {"promot", "on-diverg"} & set(re.findall(r'[{,]"?([a-z-]+)"?:', index)), "the words of the pages"
    shown = (tmp_path / "site" / "reference" / "options.html").read_text("utf-8")
    assert "--on-divergence" in shown

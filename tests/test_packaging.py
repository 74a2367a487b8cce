"""The wheel: built, installed in a fresh environment, and found by twistd far from the source folder."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BUILT = (
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "core",
    "spgrepl",
    "twisted",
)


COMPILER = shutil.which(os.environ.get("CC", "cc"))


def run(*command: object, cwd: Path, **variables: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "SPG"))
    }
    environment |= variables
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name,
                source / name,
                ignore=shutil.ignore_patterns("__pycache__", "dropin.cache", "*.so", "*.c"),
            )
        else:
            shutil.copy(ROOT / name, source / name)
    # As twistd leaves it behind in an editable install.
    (source / "twisted" / "plugins" / "dropin.cache").write_bytes(b"made by twistd")
    return source


@pytest.fixture(scope="module")
def dist(source: Path) -> Path:
    """The folder of the sdist and the wheel."""
    run(sys.executable, "-m", "build", "--no-isolation", source, cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def uncompiled(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel that was built where no compiler works."""
    folder = tmp_path_factory.mktemp("uncompiled")
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source)
    run(*command, cwd=source, CC="false")
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment that has the wheel."""
    return install(dist, tmp_path_factory.mktemp("fresh"))


def install(dist: Path, home: Path) -> Path:
    """Install a wheel in a fresh environment, whose dependencies are those of this one; returns its programs."""
    venv.create(home, with_pip=True)
    (wheel,) = dist.glob("*.whl")
    run(home / "bin" / "pip", "install", "--no-deps", "--no-index", wheel, cwd=home)
    (site,) = home.glob("lib/python*/site-packages")
    # .pth files of a folder that is named in a .pth file are not read: no editable install comes along.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_every_package_is_listed() -> None:
    """A package that setup.cfg does not list is missing from the wheel alone: in no checkout."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "spgrepl").rglob("__init__.py")}
    assert listed == there | {"twisted.plugins"}


def test_twisted_is_not_overwritten() -> None:
    assert not [*(ROOT / "twisted").rglob("__init__.py")]


def test_the_wheel_holds_the_sources_and_no_more(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "spgrepl").rglob("*.py")}
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "spgrepl" / "watch" / "page").iterdir()}
    if COMPILER:
        sources.add(f"spgrepl/_core{sysconfig.get_config_var('EXT_SUFFIX')}")
    assert names == sources | {"spgrepl/py.typed", "twisted/plugins/spgrepl_dropin.py"}


def test_the_sdist_leaves_out_the_cache_of_plugins(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any(name.endswith("twisted/plugins/spgrepl_dropin.py") for name in names)
    assert not [name for name in names if "dropin.cache" in name]
    (folder,) = {name.partition("/")[0] for name in names}
    compiled = {f"{folder}/core/{path.name}" for path in (ROOT / "core").iterdir() if path.suffix != ".c"}
    assert {name for name in names if name.startswith(f"{folder}/core/")} == compiled


def test_twistd_finds_the_plugin(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import spgrepl; print(spgrepl.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(installed.parent)
    twistd = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
    assert "    spgrepl " in run(installed / "python", "-c", twistd, "--help", cwd=tmp_path)
    assert "--listen=" in run(installed / "python", "-c", twistd, "spgrepl", "master", "--help", cwd=tmp_path)


@pytest.mark.skipif(not COMPILER, reason="there is no C compiler")
def test_the_command_says_that_the_compiled_core_runs(installed: Path, tmp_path: Path) -> None:
    assert re.fullmatch(r"spgrepl \S+ \(compiled core\)\n", run(installed / "spgrepl", "--version", cwd=tmp_path))
    forced = run(installed / "spgrepl", "--version", cwd=tmp_path, SPGREPL_PURE_PYTHON="1")
    assert "(pure Python: SPGREPL_PURE_PYTHON is set)" in forced


def test_without_a_compiler_the_same_is_installed(uncompiled: Path, tmp_path: Path) -> None:
    programs = install(uncompiled, tmp_path / "fresh")
    said = run(programs / "spgrepl", "--version", cwd=tmp_path)
    assert re.fullmatch(r"spgrepl \S+ \(pure Python: nothing was compiled\)\n", said)
    where = run(programs / "python", "-c", "import spgrepl; print(spgrepl.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(programs.parent)
    example = "from spgrepl.log.format.lzss import compress; print(compress(b'a' * 30).hex())"
    assert run(programs / "python", "-c", example, cwd=tmp_path) == "1e00000001611f003801\n"


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    """CONTRIBUTING: modules stay below 400 lines."""
    lengths = {file: len(file.read_text("utf-8").splitlines()) for file in (ROOT / "spgrepl").rglob("*.py")}
    assert {file: length for file, length in lengths.items() if length >= 400} == {}

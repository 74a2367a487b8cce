"""The wheel: built, installed in a fresh environment, and found by twistd far from the source folder."""

from __future__ import annotations

import configparser
import os
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

BUILT = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "spgrepl", "twisted")


def run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sdist and the wheel, built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache")
            )
        else:
            shutil.copy(ROOT / name, source / name)
    # As twistd leaves it behind in an editable install.
    (source / "twisted" / "plugins" / "dropin.cache").write_bytes(b"made by twistd")
    run(sys.executable, "-m", "build", "--no-isolation", source, cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment that has the wheel; its dependencies are those of this one."""
    home = tmp_path_factory.mktemp("fresh")
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
    assert names == sources | {"spgrepl/py.typed", "twisted/plugins/spgrepl_dropin.py"}


def test_the_sdist_leaves_out_the_cache_of_plugins(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any(name.endswith("twisted/plugins/spgrepl_dropin.py") for name in names)
    assert not [name for name in names if "dropin.cache" in name]


def test_twistd_finds_the_plugin(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import spgrepl; print(spgrepl.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(installed.parent)
    twistd = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
    assert "    spgrepl " in run(installed / "python", "-c", twistd, "--help", cwd=tmp_path)
    assert "--listen=" in run(installed / "python", "-c", twistd, "spgrepl", "master", "--help", cwd=tmp_path)


def test_the_command_is_installed(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "spgrepl", "--version", cwd=tmp_path).startswith("spgrepl ")

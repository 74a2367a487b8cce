"""The fuzzing harness itself: its targets hold for what they start from, and its command says what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from fuzz import log_targets, targets
from fuzz.__main__ import main
from fuzz.promises import Broken
from fuzz.seeds import seeds
from tests.test_architecture import ROOT


@pytest.mark.parametrize("name", targets.TARGETS)
def test_targets_hold_for_their_seeds(name: str) -> None:
    starts = seeds(name)
    assert starts
    for seed in [b"", *starts, *(seed[:-1] for seed in starts)]:
        targets.TARGETS[name](seed)


def test_a_broken_promise_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_targets, "compress", lambda data: bytes(4))
    with pytest.raises(Broken, match="compressed and expanded"):
        log_targets.lzss(b"some bytes")


def test_checksums_are_put_right() -> None:
    log = seeds("records")[0][1:]
    damaged = bytearray(log)
    damaged[-1] ^= 1
    assert log_targets.repair_log(log) == log
    assert log_targets.repair_log(bytes(damaged)) != bytes(damaged)


def test_unknown_targets_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lzss", "nothing"]) == 64
    assert "no target 'nothing'; there are lzss, records" in capsys.readouterr().err


def test_without_atheris_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    assert main([]) == 69
    assert "pip install -e '.[fuzz]'" in capsys.readouterr().err


def test_one_input_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"BEGIN")
    assert main(["transactions", "--replay", str(path)]) == 0
    assert capsys.readouterr().out == f"transactions: {path} passes\n"
    assert main(["--replay", str(path)]) == 64


@pytest.mark.skipif(util.find_spec("atheris") is None, reason="needs atheris: pip install -e '.[fuzz]'")
def test_a_finding_ends_a_campaign_and_is_kept(tmp_path: Path) -> None:
    """In a process that is forked from one that has read the package; the promise is broken in that one."""
    (tmp_path / "broken.py").write_text(
        "from fuzz import __main__, log_targets, worker\n"
        "import multiprocessing, sys\n"
        "if __name__ == '__main__':\n"
        "    worker._FORKED.set_forkserver_preload(['breaks', 'fuzz.instrumented'])\n"
        "    sys.exit(__main__.main(sys.argv[1:]))\n"
    )
    (tmp_path / "breaks.py").write_text(
        "from fuzz import log_targets\nlog_targets.compress = lambda data: bytes(4)\n"
    )
    command = [sys.executable, "broken.py", "lzss", "records", "--seconds", "2"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 65, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "1 passed, 1 failed" in lines[-1]
    found = list((tmp_path / "fuzz-findings").glob("lzss-crash-*"))
    assert found
    assert f"see it again with: python -m fuzz lzss --replay {found[0]}" in lines

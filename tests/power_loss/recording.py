"""Runs a program with the shim in front of it, and gives what it asked of a folder."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.power_loss.disk import Disk, Kind, Operation, moments, read_record

COMPILER = shutil.which("cc") or shutil.which("gcc")
SHIM = Path(__file__).with_name("shim.c")


def build_shim(folder: Path) -> Path:
    """Compile the shim."""
    assert COMPILER is not None
    library = folder / "shim.so"
    command = [COMPILER, "-O1", "-shared", "-fPIC", "-Wno-format-truncation", "-o", library, SHIM]
    subprocess.run(command, check=True)
    return library


def record(shim: Path, root: Path, program: Path, *words: object) -> list[Operation]:
    """Run a Python program to its end, and give what it asked of the files in a folder.

    Args:
        shim: The compiled shim.
        root: The folder; the record is beside it.
        program: The program.
        words: Its arguments.
    """
    to = root.with_name(root.name + ".record")
    environment = os.environ | {
        "LD_PRELOAD": str(shim),
        "POWER_LOSS_FOLDER": str(root),
        "POWER_LOSS_RECORD": str(to),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, str(program), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_record(to)


def losses(
    operations: list[Operation], root: Path, to: Path, count: int, chance: random.Random
) -> Iterator[tuple[Path, list[bytes]]]:
    """Let the power fail at random moments.

    Args:
        operations: What a program asked of a folder, in which it has a file ``acknowledged``.
        root: That folder.
        to: Where to put folders.
        count: How many moments.
        chance: Where all choices come from.

    Yields:
        A folder with what is there after the loss, which is removed after use; and the lines that the program had
        written by then into ``acknowledged``: what it has said, whether it was flushed or not.
    """
    (notes,) = {
        done.file for done in operations if done.kind is Kind.CREATE and done.data.endswith(b"/acknowledged")
    }
    disk, taken, said = Disk(root), 0, b""
    for moment in moments(operations, count, chance):
        for operation in operations[taken:moment]:
            disk.take(operation)
            if operation.kind is Kind.WRITE and operation.file == notes:
                said += operation.data
        taken = moment
        folder = to / f"moment{moment}"
        folder.mkdir()
        disk.write_to(folder, chance)
        (folder / "acknowledged").unlink(missing_ok=True)
        yield folder, said.splitlines()
        shutil.rmtree(folder)

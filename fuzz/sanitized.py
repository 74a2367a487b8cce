"""``python -m fuzz.sanitized TARGET SECONDS FOLDER``: inputs of a folder, and mutations of them, through a target.

It runs with the compiled core that `build` has made with AddressSanitizer. The libraries of that and of atheris do
not go together, so this follows a campaign of atheris, and starts from the inputs that coverage has led it to.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATH_VARIABLE = "SPGREPL_SANITIZED_CORE"
"""Where a process finds the core that it is to load."""

MOST = 4096
"""The most bytes of an input."""

_FLAGS = "-fsanitize=address -fno-omit-frame-pointer -g -O1"


class NotSanitized(Exception):
    """The core cannot be built so here."""


def build(folder: Path) -> dict[str, str]:
    """Build it.

    Args:
        folder: Where to.

    Returns:
        The environment variables with which a program runs with it.

    Raises:
        NotSanitized: There is no compiler, or it does not know the sanitizer.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NotSanitized("there is no C compiler")
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--build-lib",
        folder,
        "--build-temp",
        folder / "temp",
    ]
    flags = {"CFLAGS": _FLAGS, "LDFLAGS": "-fsanitize=address"}
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, env=os.environ | flags, capture_output=True, text=True, check=False
    )
    built = list((folder / "spgrepl").glob("_core*.so"))
    asked = [compiler, "-print-file-name=libasan.so"]
    library = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if not built or not os.path.isabs(library):
        raise NotSanitized(f"the core cannot be built with AddressSanitizer: {done.stdout}{done.stderr}")
    return {
        PATH_VARIABLE: str(built[0]),
        "LD_PRELOAD": library,
        # Python frees much at its end only, and its own pools would hide what is read after the end of an object.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",
    }


def load() -> None:
    """Take the core of `PATH_VARIABLE` for the one that is installed; before anything imports that."""
    spec = importlib.util.spec_from_file_location("spgrepl._core", os.environ[PATH_VARIABLE])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["spgrepl._core"] = module


def mutated(data: bytes, others: list[bytes], words: Sequence[bytes], dice: random.Random) -> bytes:
    """An input that is like some others."""
    found = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(len(found) + 1)
        what = dice.randrange(5)
        if what == 0:
            found[at : at + 1] = bytes((dice.randrange(256),))
        elif what == 1:
            del found[at : at + dice.randrange(1, 9)]
        elif what == 2:
            found[at:at] = dice.choice(words)
        elif what == 3:
            other = dice.choice(others)
            begin = dice.randrange(len(other) + 1)
            found[at:at] = other[begin : begin + dice.randrange(200)]
        else:
            found[at:at] = found[at : at + dice.randrange(200)]
    return bytes(found[:MOST])


def main(target: str, seconds: float, folder: Path) -> None:
    """Run; a fault that the sanitizer finds ends the process, a broken promise is raised."""
    load()
    run = importlib.import_module("fuzz.targets").TARGETS[target]
    words = importlib.import_module("fuzz.seeds").DICTIONARY
    inputs = [path.read_bytes()[:MOST] for path in sorted(folder.iterdir())]
    dice, until, count = random.Random(1), time.monotonic() + seconds, 0
    for data in inputs:
        (folder / "last-input").write_bytes(data)
        run(data)
        count += 1
    while time.monotonic() < until:
        data = mutated(dice.choice(inputs), inputs, words, dice)
        (folder / "last-input").write_bytes(data)
        run(data)
        count += 1
    (folder / "last-input").unlink(missing_ok=True)
    print(f"{count} inputs")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))

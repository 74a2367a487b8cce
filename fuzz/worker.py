"""The processes that fuzz, one a target, forked from one that has read the package for all of them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PREPARED = "fuzz.instrumented"
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload([_PREPARED])


def fuzzed(target: str, flags: Sequence[str], output: Path, seconds: float) -> int:
    """Fuzz one target in a process of its own.

    Args:
        target: Its name.
        flags: What libFuzzer is told.
        output: The file for what it prints.
        seconds: How long it may take.

    Returns:
        How the process ended: 0, or another code after a finding; -1 where it did not end in time.
    """
    process = _FORKED.Process(target=_fuzz, args=(target, tuple(flags), output))
    process.start()
    process.join(seconds)
    late = process.exitcode is None
    if late:
        process.kill()
        process.join()
    with output.open("a") as file:
        file.write("\nthe process did not end\n" if late else "")
    return -1 if late or process.exitcode is None else process.exitcode


def _fuzz(target: str, flags: tuple[str, ...], output: Path) -> None:
    """What runs in the process: libFuzzer ends it when time is up."""
    with output.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    if _PREPARED not in sys.modules:
        raise RuntimeError(f"{_PREPARED} could not be imported: nothing would be known of what is covered")
    import atheris  # type: ignore[import-untyped]

    from fuzz.instrumented import TARGETS

    atheris.Setup(["fuzz", *flags], TARGETS[target])
    try:
        atheris.Fuzz()
    except SystemExit:
        # After a finding. libFuzzer writes the input down at C's exit(), which multiprocessing does not call.
        sys.stderr.flush()
        ctypes.CDLL(None).exit(1)

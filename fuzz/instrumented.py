"""The targets, with the package read in such a way that atheris sees which of its branches are taken.

To read it so takes seconds: it is done once, in the process that all fuzzing processes are forked from.
"""

from __future__ import annotations

import contextlib
import io

import atheris  # type: ignore[import-untyped]

# It prints a line for each module.
with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["spgrepl"]):
    from fuzz.targets import TARGETS

__all__ = ["TARGETS"]

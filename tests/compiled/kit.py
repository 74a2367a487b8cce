"""The compiled core for tests that compare it with the reference; they are skipped where nothing was compiled."""

from __future__ import annotations

import pytest

from spgrepl.compiled.core import CORE, IMPLEMENTATION, Core

needs_core = pytest.mark.skipif(CORE is None, reason=IMPLEMENTATION)


def core() -> Core:
    """The core."""
    assert CORE is not None
    return CORE

"""A copy's files and state, for the tests of engines without rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.interfaces.engine import Fence, ReplayState


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


STATE = ReplayState(700, 300, Fence(650, 0xDEADBEEF))

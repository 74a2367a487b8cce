"""Fixtures for pytest, which finds them by an entry point: installing this package is enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def spgrepl_cluster(tmp_path: Path) -> Iterator[Any]:
    """A `spgrepl.testing.Cluster` in a folder of the test, which is closed in the end."""
    # Whoever does not use it pays nothing for it.
    from spgrepl.testing import Cluster  # noqa: PLC0415

    with Cluster(tmp_path) as cluster:
        yield cluster

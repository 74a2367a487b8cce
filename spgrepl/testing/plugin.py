"""Fixtures for pytest, which finds them by an entry point: installing this package is enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def spgrepl_cluster() -> Iterator[Any]:
    """A `spgrepl.testing.Cluster` in memory, which is closed in the end."""
    # Whoever does not use it pays nothing for it.
    from spgrepl.testing import Cluster  # noqa: PLC0415

    with Cluster() as cluster:
        yield cluster

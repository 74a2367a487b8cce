"""Copies for the tests."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.replay import Nondeterministic
from tests.spgsql.copy import Copy


@pytest.fixture
def copy() -> Copy:
    """A copy that stops at what is not deterministic."""
    return Copy()


@pytest.fixture
def loose() -> Copy:
    """A copy that approximates it."""
    return Copy(Nondeterministic.APPROXIMATE)

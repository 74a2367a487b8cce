"""psycopg, which is an extra of this package, and is loaded only when a server is named."""

from __future__ import annotations

import importlib
from typing import Any

from spgrepl.errors import ConfigurationError


def load() -> Any:
    """The module psycopg.

    Raises:
        ConfigurationError: It is not installed, or finds no libpq.
    """
    try:
        return importlib.import_module("psycopg")
    except ImportError as error:
        raise ConfigurationError(
            f"PostgreSQL needs psycopg 3, which cannot be loaded ({error}): pip install 'spgrepl[postgresql]'"
        ) from error

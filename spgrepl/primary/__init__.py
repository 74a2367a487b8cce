"""The primary: a SQLite database whose writes are logged, so that copies can follow."""

from spgrepl.primary.primary import Primary
from spgrepl.results import Position, QueryResult

__all__ = ["Position", "Primary", "QueryResult"]

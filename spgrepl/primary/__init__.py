"""The primary: a SQLite database whose writes are logged, so that copies can follow."""

from spgrepl.primary.primary import Primary
from spgrepl.primary.session import QueryResult

__all__ = ["Primary", "QueryResult"]

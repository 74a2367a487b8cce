"""The primary: a SQLite database whose writes are logged, so that copies can follow.

What comes in: SQL with parameters, in the reactor's thread (`primary.Primary`). What goes out: results with a
position, and a log that grows. `service` opens and closes it as a Twisted service; `states` are what it can be
doing, `told` is what it tells of itself. Nothing here blocks: `writing` owns the writer's thread and the log,
`reading` the readers' threads, `running` the connection that writes, `changes` the rows that changed, `parts`
what they hand to each other.

Imports: `errors`, `text`, `base`, `disk`, `log`, `catalogue`, `primary.parts`, `primary.reading`,
`primary.writing`.
"""

from spgrepl.base.results import Position, QueryResult
from spgrepl.primary.primary import Primary

__all__ = ["Position", "Primary", "QueryResult"]

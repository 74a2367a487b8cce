"""Comparing a database with a copy of it at one position, while both go on; or two as they are.

What comes in: two databases, each in a file, at a running server, or in PostgreSQL. What goes out: the rows that
differ, by table and key, and the statements that would make the copy what it should be.

- `ends` and `server_end` are the two; `pinning` holds both at one position.
- `table_reader` says how a database is read by ranges of keys; `sqlite_reader` and `server_reader` do it.
- `matching` finds the tables that both have, `key_ranges` the rows of those whose sums differ; `differences` says
  what differs in a row, and what would put that right; `repairing` writes it. `pinned` goes through all tables.

Imports: `base`, `disk`, `engines.postgresql`, `engines.targets`, `errors`, `postgresql`, `postgresql.comparing`,
`rows`, `sqlite`, `text`.
"""

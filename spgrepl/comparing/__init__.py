"""Comparing a database with a copy of it at one position, while both go on.

What comes in: two databases of one history, in files or in PostgreSQL. What goes out: the rows that differ, by
table and key, and the statements that would make the copy what it should be.

- `pinning` holds both at one position; `ends` and `server_end` are what it holds. `table_reader` reads one
  database by ranges of keys, `key_ranges` finds the rows of those whose sums differ; `pinned` goes through the
  tables of two of them, `pinned_server` through those of a file and PostgreSQL; `repairing` writes statements.

Imports: `base`, `disk`, `engines.postgresql`, `engines.targets`, `errors`, `postgresql`, `postgresql.comparing`,
`postgresql.copying`, `rows`, `sqlite`, `text`.
"""

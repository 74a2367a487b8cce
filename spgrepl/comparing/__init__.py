"""Comparing a database with a copy of it at one position, while both go on.

What comes in: two database files of one history. What goes out: the rows that differ, by table and key, and the
statements that would make the copy what it should be.

- `pinning` holds both at one position; `key_ranges` sums up ranges of a table's keys and finds the rows of those
  that differ; `pinned` goes through the tables; `repairing` writes statements.

Imports: `base`, `disk`, `errors`, `rows`, `sqlite`, `text`.
"""

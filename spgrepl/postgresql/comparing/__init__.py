"""Comparing the tables of a SQLite database with those of a server, by checksums that both ends compute.

What comes in: a database file and a server's address. What goes out: what differs, by table, row and column.

- `canonical` writes a value in the same way at both ends: in SQL there, in Python here.
- `ranges` cuts a table into ranges of keys and sums the rows' checksums; `rows` finds the rows of a range that
  differ. `server_comparison` goes through the tables.

Imports: `errors`, `text`, `rows`, `sqlite`, `postgresql`, `postgresql.copying`.
"""

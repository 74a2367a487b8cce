"""Tables of a snapshot, put into a server: their definitions in its words, their rows by COPY.

What comes in: a SQLite database that nobody changes, and a transaction that is open. What goes out: tables with
their rows, keys and indexes, and notes of what could not be made.

- `source_tables` reads what SQLite's tables declare, and what is in them, `source_schema` keeps a whole schema.
- `type_map` chooses types, `spg_types` knows those of SPG, `spg_effects` what such a server does by itself;
  `table_ddl` writes statements, `defaults` those of columns, `declared` finds what only SQLite's own CREATE
  statement says, `expressions` writes what is certain to mean the same, `translation` what only may.
- `present_tables` tells a table that was there from one that statements of SPG's log may run on.
- `copy_lines` reads a table's rows, `row_lines` writes them as lines of COPY, `snapshot_copy` runs it all.

Imports: `compiled`, `dialect`, `errors`, `postgresql`, `rows`, `spg`, `spgsql.typed`, `sqlite`, `text`.
"""

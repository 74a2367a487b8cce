"""Reading what an SPG server stores: snapshots (envelope and catalog) and cold segments, without SPG.

What comes in: files. What goes out: rows that SQLite takes. The way of the data::

    file ─► envelope ─► catalog ─► tables ─► rows ─► values ─► to_sqlite ─► an open SQLite database
             sections    blocks     blocks    plans   bodies       ▲
    files ─► segment (LZSS, BRIN, pages) ─► cold ──────────────────┘

Who owns what:

- `envelope`: the wrapper around a catalog, its checksum, the publications in it.
- `snapshot`: opens a file, walks it once, then streams the rows that are alive. `describe` says what it holds.
- `segment`, `cold`: the rows that were frozen into segments.
- `to_sqlite`: a snapshot written into an open connection of SQLite, declared by `ddl`. It knows no files but the
  snapshot's.
- Below, `values` and `blocks` are packages of their own.

Nothing here knows a reactor or a connection of the network: all of it blocks, and runs in threads. Everything
unknown is an error that names file, offset, version and tag; nothing is guessed.

Imports: `errors`, `text`, `base`, `segments`, `spg.values`, `spg.blocks`.
"""

"""The SQL of an SPG server's log, put as SQLite takes it, or refused with a reason: never a silent difference.

What comes in: the text of a statement, in a thread that owns a connection and its open transaction. What goes out:
rows that changed on that connection, or `StatementStopped`. The way of a statement::

    text ─► language ─► nodes ─► typed ─► changes ─► plan ─► SQLite
                                       ─► definitions, alterations, meanings, run at once

- `language` reads text, `typed` knows tables and types.
- `changes`: INSERT, UPDATE, DELETE, TRUNCATE, SELECT INTO. `one_by_one`: what their order decides.
- `tables`, `definitions`, `alterations`: DDL. `meanings`: types, domains and settings, which change no rows.
- `replay`: one statement run, plans kept by template. `counts`: what was skipped and approximated.

Imports: `errors`, `text`, `sqlite`, `spg`, `spg.values`, `spgsql.language`, `spgsql.typed`.
"""

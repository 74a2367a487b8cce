"""The language of an SPG server's log, and how SPG stores what its literals say. No database is asked.

What comes in: the text of a statement; a literal and the type of its column. What goes out: nodes, stored values,
or `StatementStopped` for what is not understood.

- `kinds`: the table of what may stand in a log, and what is done about it. `stops`: the refusals.
- `lexing`: tokens of PostgreSQL's and MySQL's SQL; the template of a statement, which is the text without its
  literals.
- `token_reader`, `grammar`, `statements`: what is understood of the language, as `nodes`.
- `types`, `values`, `arrays`, `times`: SPG's types by name, and how each stores a literal, as the reader of
  snapshots would give it.

Imports: `text`, `spg.values`.
"""

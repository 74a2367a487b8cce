"""Which rows a statement changed, and the records that say so.

What comes in: the preupdate hook's calls of one connection. What goes out: records of ROWS.md, gathered for a
group (`recording` owns them until the log takes them).

- `recorder` owns the hook; `layout` says how the rows of one table are written, `row_writer`, `row_values`,
  `row_run` and `row_taker` write them; `row_reader` reads those that the hook does not give.
- `schema_changes`, `sequences`, `full_text`: what changes without a call of the hook. `guard` keeps statements off
  our tables.

Imports: `errors`, `compiled`, `text`, `rows`, `log.format`, `sqlite`, `catalogue`, `primary.parts`.
"""

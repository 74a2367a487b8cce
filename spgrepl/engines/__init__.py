"""Where a whole log is applied: the implementations of `interfaces.engine.IEngine`, and what applies records.

What comes in: records and the position after them, in the engine's thread. What goes out: rows and position in one
transaction, or an error.

- Engines: `sqlite`, `archive` (keeps bytes), `counting` (counts). `state_file` is the state of those without rows.
- `sqlite_applier` runs statements, `row_applier` rows; each must find the copy as the primary's table was.
- `own_rows` knows what of a log an SPG snapshot held already.
- `spg_snapshot` makes a SQLite database of an SPG server's snapshot, `cold_rows` puts its cold rows in, and
  `server_cold_rows` those of a copy in a server; `left_out_rows` notes those that a copy does without.
  `sqlite_segments` lists the segments.
- `statement_digest` moves with transactions, and so does everything else here. `targets` are a subscriber's
  engines, `postgresql` applies records to a server.

Imports: `base`, `catalogue`, `compiled`, `dialect`, `disk`, `errors`, `interfaces`, `log`, `log.format`,
`log.transactions`, `postgresql`, `postgresql.copying`, `rows`, `segments`, `spg`, `spg.values`, `spgsql`,
`spgsql.language`, `sqlite`, `text`.
"""

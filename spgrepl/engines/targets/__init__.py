"""Where a subscription's rows go: the implementations of `interfaces.target.ITarget`.

What comes in: records of published tables, a snapshot to begin with. What goes out: rows in a database that has
rows of its own, with the subscription's position in the same transaction.

- `sqlite_target`, `counting_target`, `postgresql_target`: the targets, and their `options`. `stored_state` owns
  the position in a SQLite database, `server_state` that in a server.
- `initial_copy` begins, `copy_told` says how far it is, `copy_report` judges it and tells of it; `subscribed_rows`
  goes on; `transaction_words` says what no record may begin with.
- `table_shape`, `declarations`, `stored_shapes`: whether a table still looks as it did.

Imports: `errors`, `text`, `base`, `disk`, `rows`, `log.format`, `log.transactions`, `interfaces`, `sqlite`,
`spgsql`, `catalogue`, `pairs`, `engines`, `engines.postgresql`, `postgresql`, `postgresql.copying`.
"""

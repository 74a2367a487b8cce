"""What holds for every SQLite database here, whoever writes it.

What comes in: an open connection. What goes out: spgrepl's own tables in it, and errors in plain words.

- `session` owns the settings that change what statements do, and how long a lock is waited for; `any_connection`
  is the type.
- Own tables: `state` (position, base, fence), `row_mark`, `snapshot_digest`. `snapshot_histories` reads one of
  a snapshot. `own_names` and `log_guard` keep
  statements off them.
- Whole databases: `database_copy`, `comparison` (on `compared_rows`).
- Statements: `script` runs many at once, `time_limit` ends those that take too long, `duplicates` knows what
  they would make twice.

Imports: `errors`, `text`, `base`, `disk`, `log.transactions`, `interfaces`.
"""

"""Records of a log, applied to a server that speaks PostgreSQL's protocol.

What comes in: records, inside a transaction that somebody else ends. What goes out: COPY, grouped
statements, and single ones; or the record that is at fault, with table, key and column.

- `log_work` gathers the records of a transaction, and lets them go out in their order.
- Rows: `row_groups` takes them together, `row_statements` writes SQL for them, `row_writer` sends it, and finds
  the culprit where it is refused. `insert_runs` are INSERTs that differ in nothing but their values.
- `log_statements` runs all other SQL: `statement_meanings` says what it may do, `schema_changes` makes the DDL of
  a master that speaks SQLite.
- `spg_log` is what an SPG server's log asks for beside that, `approximating` writes values that come near into
  its statements. `master_effects` looks what the server did beside them, and what stands behind their names, by
  what `followed_tables` keeps of tables.
- `engine` is the engine, whose transactions these are; `copy_state` writes down how far it has come,
  `received` looks at a snapshot, and drops the copy before.

Imports: `base`, `errors`, `text`, `disk`, `rows`, `log.format`, `log.transactions`, `interfaces`, `sqlite`,
`dialect`, `engines`, `postgresql`, `postgresql.copying`, `postgresql.reading`, `spg`, `spgsql`, `spgsql.language`.
"""

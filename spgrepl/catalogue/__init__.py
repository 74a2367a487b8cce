"""Publications and subscriptions: the statements, the stored tables, and how they change with a log.

What comes in: SQL of users (`statements`), tables of a database (`catalogue_tables`, `stored`), records of a log
(`changes`). What goes out: `definitions.Publications`, the value that says what each publication takes.

- `catalogue_tables` owns the two tables in a database; `stored` reads them, `renames` follows the names of tables.
- `sources` is where a master learns the publications from: its database, or the log where there is none.
- `learned` is what is known of a log that no database keeps, and its file.
- `owners` judges whose record it is. `server_statements` speak to a running server; `connection_string` reads
  CONNECTION as libpq does.

Imports: `errors`, `text`, `base`, `disk`, `log.format`, `log.transactions`, `log`, `segments`, `spg`, `sqlite`,
`access`.
"""

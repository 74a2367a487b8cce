"""What holds for every server that speaks PostgreSQL's protocol, whoever writes to it.

What comes in: a connection string, and a name to work under. What goes out: transactions that are done again where
the server asks for that, texts that mean the same in every session, and errors in plain words.

- `address` is the connection string, and what of it may be shown: no password leaves it. `driver` loads psycopg,
  which is an extra.
- `session` owns one connection and its settings; `features` says what the server can do, `faults` what its errors
  mean. `transactions` begins, commits and repeats; `name_guard` keeps a second process from working under a name.
- `own_schema` owns the schema ``spgrepl`` in the server; `names` quotes names.
- `tables` are the tables that are there, `column_types` what fits their columns, and how it is written
  (`exact_texts` those that a server would cut or round), `triggers`
  what others have put on them that acts.
- `spelling` writes what only an SPG server's SQL has in words of the server.
- `reading` says what a statement depends on beside the rows of a copy.
- `copying` puts the tables of a snapshot there, `comparing` compares them with those of a SQLite database.

All of it blocks, and lives in an engine's thread.

Imports: `errors`, `text`, `rows`, `spgsql.language`.
"""

"""Expressions and queries by their types, put in SQLite's words: what means something else there is refused.

What comes in: nodes of `language`, and a connection that knows the tables. What goes out: a `plan` of statements
for SQLite, with what their parameters are made of.

- `schema`: what a copy knows of its tables, from the side tables that the snapshot left.
- `typing_rules`: what a value of one type is in the place of another, and how two are compared. `scopes`: names.
- `compiling`: what the parts below ask of the compiler. `parameters` is its lower half, `expressions` its upper.
  `constants`, `calls` and `moments` are its literals, functions and times; `queries`, `defaults` are built on it.
- `functions`: what SQLite has to be taught: decimal numbers, LIKE, the order of dates.

Imports: `text`, `sqlite`, `spg.values`, `spg`, `spgsql.language`.
"""

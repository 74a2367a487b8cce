"""SQL as other databases write it, put as SQLite reads it.

What comes in: one statement's text. What goes out: text for SQLite, or an error that says why there is none.
`translate` is the last resort, `schema_names` the simple case, `dependent` finds what has another value on each
machine. No state.

Imports: `text`.
"""

"""A comparison with the database of a running server: ranges of keys summed up there, asked for over HTTP.

What comes in: orders as JSON, from ``spgrepl compare`` elsewhere. What goes out: positions, checksums, and rows of
ranges that differ. `sessions` owns, in the server, what a comparison has open; `remote_end` is the same database
as who compares sees it; `values` are the words between the two.

Imports: `base`, `comparing`, `errors`, `postgresql`, `rows`, `server.status`.
"""

"""Snapshots that a master sends: made in a thread, shared, sent from an unlinked file.

What comes in: a database or a file (`sources`). What goes out: an open file and its position. `snapshot` owns the
files while somebody reads them, `spool` the folder that they are written in.

Imports: `errors`, `text`, `base`, `disk`, `log`, `segments`, `sqlite`, `master.shared`.
"""

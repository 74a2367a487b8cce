"""A log as a file that grows.

What comes in: records to append (`writer`), the growth of a file (`tailer`). What goes out: bytes to whoever
follows (`source` is the seam), reports of a whole file (`reader`, and `watch` for what is odd in it).

- `writer` owns the file's end; `durable` the small file that says how far it is fsynced; `tailer` the watch on
  both.
- `transactions` says which records belong together and take effect; it keeps no bytes.
- `format` is the codec. `wal_level` and `stored_level` say whether subscribers are served; `file_kinds` what a
  file looks like.

Imports: `errors`, `text`, `base`, `disk`, `log.format`, `log.transactions`.
"""

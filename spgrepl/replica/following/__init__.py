"""Receiving all of a master's log, and keeping an exact copy.

What comes in: a snapshot, segments and the log's bytes (`connection`). What goes out: a local log, and rows in an
engine.

- `service` owns one connection at a time and one engine's thread; `told` is what it answers when it is asked,
  in the words of `states`.
- `queue` holds what waits, one batch in flight; `replay` puts it on the disk, and into the engine (`executing`);
  `progress` says how far that is, `transaction_watch` which transactions do not end.
- `local_files` owns the files of the copy; `applied_log` shows them to followers of its own.
- `history` and `divergence`: whether the master's history is ours, and what follows if it is not.
- `cold_gate` holds the log back for cold rows; `version_choice` says which protocol is asked for.

Imports: `base`, `disk`, `engines`, `errors`, `interfaces`, `log`, `log.format`, `log.transactions`, `pairs`,
`replica`, `segments`, `sqlite`, `text`, `watch`, `wire`.
"""

"""Receiving the tables of some publications.

What comes in: records of published tables (`connection`), a snapshot to begin with (`initial_copies`, `copy_link`,
`copied_segments`). What goes out: rows in a target, with the position in one transaction.

- `service` owns one connection at a time, one target's thread, and what is told of them (`settings` has the
  values).
- `queue` holds what waits, in `portions`; `applier` applies it in the target's thread; `skipping` leaves a record
  out.
- `fence`, `marks` and `history`: whether the master's history is the one that was followed. `origins`: which
  rows are taken; `unknown_publications`: which bring nothing.

Imports: `base`, `compiled`, `disk`, `engines`, `engines.targets`, `errors`, `interfaces`, `log.format`,
`log.transactions`, `replica`, `replica.following`, `rows`, `segments`, `text`, `watch`, `wire`.
"""

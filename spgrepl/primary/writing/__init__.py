"""The writer's thread: groups of requests, the log, and what a crash leaves.

What comes in: requests, in the reactor's thread (`request_queue`, `transactions`). What goes out: answers, after
the log's fsync.

- `other_roles` says which databases no primary writes.
- `request_queue` owns those who wait, and `waking` wakes it from the thread; `writer` owns the thread's work: one
  group, one fsync, one commit; `answers` what callers are told.
- `primary_log` owns the log's file; `recovery` makes database and log agree, `repair` goes on where one is lost,
  `left_state` sees whether others wrote between two writers, `draining` that nobody writes any more.
- `long_transaction` is the writer's side of a `transactions.Transaction`.

Imports: `errors`, `text`, `base`, `disk`, `log.format`, `log.transactions`, `log`, `interfaces`, `pairs`,
`sqlite`, `primary.parts`, `primary.changes`, `primary.running`.
"""

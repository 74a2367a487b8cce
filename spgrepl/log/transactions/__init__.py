"""What the records of a log mean for transactions, also where several are open at the same time.

What comes in: batches of records. What goes out: which of them take effect, and where (`docs/transactions.md`).

- `words` tells statements apart by their first words; `steps` says what a record does to transactions,
  `savepoints` which ones are set, `groups` what is known of transactions that are open at the same time.
- `walk` follows a log and keeps nothing of it but what was taken back; `units` cuts batches into `work` for an
  engine, and `held` reads again what had to wait; `places` is for people who read a log.

Imports: `compiled`, `errors`, `log.format`, `text`.
"""

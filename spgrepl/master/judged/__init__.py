"""Which records of a log belong to which subscriber: judged once, for all of them.

What comes in: bytes of the log. What goes out: frames of what is published, counts of the rest.

- `cutting` cuts the log into judged `pieces`; `judged_feed` owns them while they are shared.
- `selection` is what one subscriber asked for; `publisher` owns the publications; `dry_run` does it all without a
  connection.

Imports: `base`, `catalogue`, `catalogue.owners`, `compiled`, `errors`, `text`, `log`, `log.format`,
`log.transactions`, `rows`, `sqlite`, `wire`.
"""

"""The change feed: the committed transactions of a log as values, for the program that embeds it.

What comes in: a log that grows (`source`): a primary's, a follower's own, or what a subscription has applied
(`applied_rows`). The log (`log_bytes`) is read in a thread, from a stored position on (`start`, `reader`), cut
into transactions (`units`), whose records become values (`decoding`, `keys`, `values`). What goes out: one
transaction at a time, to a receiver, and the next one when that is done (`service`; `run` is one run of it).

Nothing here owns a log: it is read as it stands on disk, and only as far as it is applied.

Imports: `errors`, `text`, `base`, `rows`, `log.format`, `log.transactions`, `log`, `interfaces`, `sqlite`,
`primary`, `replica.following`, `server`.
"""

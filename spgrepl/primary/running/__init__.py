"""Running requests on the one connection that writes. Blocking, in the writer's thread.

What comes in: requests of a group, rows of a subscription. What goes out: results, records, marks.

- `session` owns the connection; `statement_runner` runs the statements of users, `replayer` those of the log.
- `group`, `plain_requests` and `together_runner` run many; each request stands in a savepoint of its own.
- `others` notices that another program writes the database.
- `subscription_target`, `subscribed`, `logged_marks`: rows that a subscription brings.

Imports: `errors`, `text`, `base`, `rows`, `log.format`, `log.transactions`, `interfaces`, `sqlite`, `dialect`,
`catalogue`, `engines`, `engines.targets`, `primary.parts`, `primary.changes`.
"""

"""Roles: what runs in one process, and how it is asked, told and shown.

What comes in: options or settings. What goes out: services that start in order, a status, an exit code.

- `role` owns the order, the end and the site; `roles` puts a master and a follower together (with `role_parts`),
  `subscriber_role` a subscriber, `subscription_runner` the subscriptions of a primary's catalogue.
- `role_options` and `site_options` read what is typed into `role_settings`, of which roles are made.
- `status` is what a site answers, `comparing` what it answers to comparisons of its database, `control_socket` the
  site beside the log; `log_options`, `plain_usage` and `exit_code` are what `process.tap` needs.
- `orders` are what a follower is told that is not SQL; `promoted` lets its process go on as a master.

Imports: `access`, `base`, `catalogue`, `comparing`, `disk`, `engines`, `engines.postgresql`, `engines.targets`,
`errors`, `failover`, `interfaces`, `log`, `log.format`, `log.transactions`, `master`, `master.judged`,
`master.shared`, `master.snapshots`, `postgresql`, `primary`, `primary.parts`, `primary.running`,
`primary.writing`, `replica`, `replica.following`, `replica.subscribing`, `segments`, `server.comparing`,
`server.status`, `spgsql`, `sqlite`, `text`, `watch`, `wire`.
"""

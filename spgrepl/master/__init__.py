"""Sending a log: to followers all of it, to subscribers what they asked for.

What comes in: a log (`log.source.ILogSource`), hellos of connections. What goes out: frames. `service` is the
Twisted service, `protocol` one connection, `hub` tells all of them what happens. `streams` sends over one
connection, `shared` is what each stream needs, `judged` filters, `snapshots` makes snapshots.

Imports: `errors`, `text`, `base`, `log`, `wire`, `access`, `segments`, `master.shared`, `master.judged`,
`master.snapshots`, `master.streams`, `watch`.
"""

"""What a follower and a subscriber have in common.

What comes in: a master's bytes. What goes out: progress of a copy, and what is told of it.

- `connection`: bytes in, events, bytes and a deadline out, without I/O. `link` is the one shell of Twisted around
  it, and owns socket and timer; `gate` is the only one that pauses it.
- `pump` owns what waits for the thread that applies; `snapshot_receiver` the file that a snapshot comes into.
- `short_connections` ask the master one thing each, beside the stream: what its log looks like further back.
- `service` is what both kinds do alike, in `phases`: open, connect (`connecting`), end, and again (`retry`);
  `second_look` says when a different history is believed.
- `remote_watch` sees that a server which keeps the copy is there, while nothing is applied to it.
- `freshness` says as of when a copy is; `copy_queries` reads it as of a position. `options` are what both are told
  of limits.
- `following` and `subscribing` are the two kinds of copies.

Imports: `errors`, `text`, `base`, `disk`, `wire`, `access`, `interfaces`, `pairs`, `primary.parts`,
`primary.reading`, `watch`.
"""

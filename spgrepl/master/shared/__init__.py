"""What every stream of a master needs: limits, the shared log, the way out.

What comes in: pieces of the log, room in a socket. What goes out: bytes, never more of them waiting than one
piece. `feed` owns the chunks that are read once for all, `socket_out` what waits for one socket, `connections`
which connections there are, `status_cadence` whose turn it is to get a STATUS; `admission` bounds these,
`log_rate` what the log says of them, `peers` knows the names of configured ones. `limits`, `states` and
`end_reasons` are values.

Imports: `errors`, `text`, `base`, `log`, `wire`, `access`, `watch`.
"""

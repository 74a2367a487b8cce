"""What is sent over one connection of a master after its hello.

What comes in: room in the socket, and `context`, the value that all streams share. What goes out: frames. `base`
finds the next piece whenever there is room; `physical` sends a snapshot, the log and segments to a follower,
`logical` the records of published tables to a subscriber. A stream owns its position and nothing else.

Imports: `errors`, `text`, `base`, `log`, `wire`, `access`, `segments`, `master.shared`, `master.judged`,
`master.snapshots`, `watch`.
"""

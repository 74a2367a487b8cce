"""Bytes on the wire to values and back (PROTOCOL sections 2 and 3). A codec: no I/O, no reactor.

What comes in: bytes of one connection, cut anywhere. What goes out: values, or a `PeerError`. Lengths are judged
on the header, before a body is waited for. `handshake` and `subscription` are the openings, `frames` the stream of
a follower, `record_frames` that of a subscriber (`long_record` is one that takes time), `segment_chunks` what
carries cold segments, `unknown_types` says what is sent on purpose from what was damaged. Each parser owns what it
has not parsed yet.

Imports: `base`, `compiled`, `errors`, `log.format`, `text`.
"""

"""Bytes of a log to records and back (PROTOCOL section 1). A codec: no I/O, no Twisted.

What comes in: bytes, cut anywhere. What goes out: whole records, or a `PeerError`. `records` has the values and
the encoders, `parser` the incremental parser that replay runs on, `lzss` and `lzss_stream` the compressed form,
`salvage` the search for whole records after damage. Each parser owns the bytes of the one record that is not whole
yet.

Imports: `compiled`, `errors`, `text`.
"""

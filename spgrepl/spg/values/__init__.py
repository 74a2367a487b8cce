"""The values inside SPG's files: bytes to what SQLite takes. Codecs: no I/O.

What comes in: bytes at a `cursor`, which checks every length against the bytes that are left. What goes out:
values. `types` says what a type tag means, `bodies`, `clock` and `texts` read one value, `rows` compiles a decoder
of whole rows; `crc32c` is the checksum.

Imports: `errors`, `text`.
"""

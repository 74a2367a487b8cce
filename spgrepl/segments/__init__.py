"""Cold segments: their files, their manifest, sending them and receiving them.

What comes in: files of a folder (at a master), chunks of a connection (at a copy). What goes out: chunks, and
whole and sound files under their names.

- `format`, `content`: whether a file is sound. `manifest`: what lists it. Both are codecs.
- Sending: `outgoing` owns the listing that all connections of a master share, `outgoing_cursor` what one was sent.
- Receiving: `incoming` owns what is on its way (`transfer`, one at a time), `store` the files and their manifest,
  `folder` the question whose a folder is.

Imports: `errors`, `text`, `base`, `disk`, `log.format`, `wire`, `interfaces`, `pairs`.
"""

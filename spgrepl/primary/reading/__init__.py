"""Reading a primary's database beside its writer.

What comes in: queries. What goes out: rows, at once or a few at a time (`row_stream`). `reader_pool` owns the
connections (`reader`), each in a thread while it reads.

Imports: `errors`, `text`, `base`, `sqlite`, `catalogue`, `primary.parts`.
"""

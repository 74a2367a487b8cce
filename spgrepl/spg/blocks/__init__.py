"""The blocks that the catalog of an SPG snapshot is made of.

What comes in: bytes at a cursor. What goes out: frozen values of `schema`. `tables` reads the block of one table
with its `details` and `indexes`, `objects` the rest; `parts` are the small readers that they are put together
from.

Imports: `errors`, `text`, `spg.values`.
"""

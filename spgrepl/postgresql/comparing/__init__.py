"""Values as a comparison with PostgreSQL writes them, so that both ends compute the same checksums.

What comes in: the types of columns, values. What goes out: a text for each value and row. `canonical` writes them:
in SQL there, in Python here.

Imports: `rows`, `postgresql`.
"""

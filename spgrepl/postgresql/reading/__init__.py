"""What a server understands of a statement, with all that stands behind the names in it.

What comes in: a statement of an SPG server's log. What goes out: a `Reading`, which says what of it depends on
more than the rows of the copy: the order of texts, time zones, capital letters, the moment, the order of rows.

- `node_trees` are the server's own notes of a statement that it has parsed, as values.
- `closure` has the server parse a statement, and gathers what stands behind it: views, functions, operators.
- `rules` say what that means.
- `joins` tells where a row meets several, and it counts which.
- `letters` looks which texts a statement tells capital letters apart in.
- `conversions` says what becomes of values that become texts, and the other way round.
- `disputed` knows what databases do in different ways.
- `given_values` looks what labels and years are given, and compared with.
- `ddl` finds the tables that DDL changes, the queries and expressions with which DDL computes rows.
- `reader` keeps what was found out, by the shape of statements.

Imports: `postgresql`, `text`.
"""

"""Row changes as canonical SQL text, both ways. A codec: no I/O, no Twisted, no database.

What comes in: `RowChange` values (`changes`). What goes out: one statement of SQL as bytes (`render`, and `bulk`
for many at once). The other way, `recognise` takes exactly the texts that `render` makes and gives the change
again; any other SQL is not for it. The rules of the text stand in `render`; `names` has the quoting of names,
`values` the writing of values, `shapes` what all rows of a kind have in common, `origins` the comment that says
where a row originated, `numbers` the one with a row's number.

Imports: `compiled`.
"""

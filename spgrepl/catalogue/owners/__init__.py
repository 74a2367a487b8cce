"""Which tables a record of a log changes, judged by its SQL.

What comes in: a record's text. What goes out: `owner.Owner`. `texts` cuts it into statements, whichever database
wrote it, `parser` reads each token by token, `owner` keeps what was judged before.

Imports: `compiled`, `errors`, `log.format`, `log.transactions`, `text`.
"""

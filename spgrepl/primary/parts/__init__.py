"""What may be asked of a primary, and what its other parts share.

What comes in: SQL of users. What goes out: `requests.Request`, the value that goes through the other parts, with
its `marks`; `statements` says what kind of statement it is, `together` which may be run at once. `connection` and
`settings` make a connection of APSW what a primary needs; `log_listeners` and `catalogue_listeners` tell of what
happened.

Imports: `errors`, `text`, `base`, `disk`, `rows`, `log.transactions`, `interfaces`, `sqlite`, `catalogue`.
"""

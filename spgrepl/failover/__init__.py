"""Failover by hand: a copy that becomes a primary, and an old primary that becomes a copy.

What comes in: files that no server has open. What goes out: the same files in another role, or an error that has
changed nothing. `promotion` makes a copy a primary, `rejoin` makes a copy of what was one, on the terms that
`common` finds in both sides' histories; `lost` lists what was not shared.

Imports: `base`, `disk`, `engines`, `errors`, `interfaces`, `log`, `log.format`, `log.transactions`, `pairs`,
`primary.parts`, `primary.writing`, `replica.following`, `sqlite`, `text`.
"""

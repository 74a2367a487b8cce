"""The seams that engines and targets implement, with the values that go over them.

What comes in: nothing. What goes out: promises. `engine` is what replay asks of the place where a log is applied,
`target` what a subscription asks of the place where its rows go, `conflicts` the counts that targets keep,
`store` what a gate asks of whatever has a bound.

Imports: `errors`, `base`, `log.format`.
"""

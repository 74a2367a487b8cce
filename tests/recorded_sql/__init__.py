"""The SQL that other projects' test suites run on SQLite, run on a primary with a live follower.

`recording` runs the suites of two projects and keeps what they ran; `replaying` runs that on a primary and
compares. Nothing of those projects is kept here. ``python -m tests.recorded_sql`` does both and prints what it
found.
"""

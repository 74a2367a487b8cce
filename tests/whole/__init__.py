"""The whole way: SQL at a primary, rows in its log, and what a follower and a subscriber make of them."""

"""A whole site of real processes, under load: a primary, a relay, two followers and a subscriber."""

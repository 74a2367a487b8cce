"""SPG replication for Twisted."""

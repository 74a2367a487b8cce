"""Publications: which records belong to whom."""

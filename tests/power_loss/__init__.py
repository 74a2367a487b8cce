"""Losing power at random moments: what was flushed is on the disk then, and of the rest whatever it pleases."""

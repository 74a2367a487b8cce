"""What replication costs, each figure beside its yardstick of the same run: ``python -m benchmarks [name …]``."""

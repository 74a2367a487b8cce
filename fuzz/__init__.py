"""Coverage-guided fuzzing of everything that reads bytes from elsewhere: ``python -m fuzz [target …]``."""

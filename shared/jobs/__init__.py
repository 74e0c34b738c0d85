"""The jobs of `run_job`. Each continues where the last run stopped, and stops when its time or the quota ends."""

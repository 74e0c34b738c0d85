"""What `run_job` does: each job goes on where the one before it stopped, and stops when time or quota ends."""

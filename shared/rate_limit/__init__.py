"""DrChrono's request limits, shared by all instances."""

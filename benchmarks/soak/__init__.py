"""Runs the whole system while its dependencies fail: `python -m benchmarks.soak`."""

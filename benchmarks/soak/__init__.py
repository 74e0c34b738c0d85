"""The whole system at work while everything around it fails: `python -m benchmarks.soak`."""

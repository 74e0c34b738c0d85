"""Benchmarks. Each module measures one part and, in the same run, a baseline."""

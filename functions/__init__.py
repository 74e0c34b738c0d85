"""The three deployed functions: one module each, one public `handle` in each."""

"""The four deployed functions: one module each, with one public `handle`."""

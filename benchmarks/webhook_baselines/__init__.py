"""Functions to measure the front door against. Each is served by the functions-framework from its own file."""

"""Functions to compare receive_webhook with. Each is served by the functions-framework from its own file."""

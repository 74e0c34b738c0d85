"""Fault injection: rules that match requests, and the broken answers they produce."""

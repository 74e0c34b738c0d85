"""Builds every part of the system from the environment."""

"""Runs and checks the whole system on one machine. Nothing here is deployed."""

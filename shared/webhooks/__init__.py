"""Webhooks: what a delivery says, and the events it may name."""

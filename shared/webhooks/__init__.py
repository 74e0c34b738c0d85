"""Webhooks: deliveries from DrChrono, and the events that travel through Pub/Sub."""

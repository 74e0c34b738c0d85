"""Webhook deliveries: bodies, signatures, redelivery, and configured loss, delay and reordering."""

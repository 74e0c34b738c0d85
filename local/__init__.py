"""Running and proving the system on one machine. Nothing here is deployed."""

"""The work queue `sync_pending`: what is known to be out of date."""

"""The work queue `sync_pending`: one document per target that is out of date."""

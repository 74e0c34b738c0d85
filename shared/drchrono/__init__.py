"""The DrChrono API: the client and its OAuth tokens."""

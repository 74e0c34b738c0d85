"""The change feed: each stored change, announced to other programs."""

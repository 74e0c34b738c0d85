"""The change feed: what other programs are told of each stored change."""

"""Writing back: other programs' entries of the collection `outbox` become records in DrChrono, each sent once."""

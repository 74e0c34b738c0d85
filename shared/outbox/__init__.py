"""Writing back: entries that other programs add to the collection `outbox` are sent to DrChrono, each once."""

"""The stored records: how they are ordered, encoded, fetched and written."""

"""DrChrono's OAuth token pair: its value, where it is stored, and how one instance refreshes it."""

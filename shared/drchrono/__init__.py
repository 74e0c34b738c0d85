"""The DrChrono API: the client, the table of kinds, and the model of lag."""

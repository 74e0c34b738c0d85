"""The practice: its records with their history, the generated data, and background activity."""

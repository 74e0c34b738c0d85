"""OAuth under `/o`: authorization pages, codes and tokens."""

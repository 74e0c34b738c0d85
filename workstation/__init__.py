"""What `ops` and `local` share on a developer's machine. None of it is deployed."""

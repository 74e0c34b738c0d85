"""What `ops` and `local` share on a developer's machine. Nothing of it is deployed."""

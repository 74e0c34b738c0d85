"""`python -m ops`: authorize, look, repair."""

"""`python -m ops`: authorize, inspect and repair the copy."""

"""`python -m ops console`: a page on this machine that shows the copy and repairs it, with the operator's credentials.

It does nothing that `python -m ops` doesn't, and uses the same functions.
"""

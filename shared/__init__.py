"""Code that the functions share, one folder per capability; the modules here are used by all folders."""

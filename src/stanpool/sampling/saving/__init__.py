"""Saving a fit in a folder, and reading it."""

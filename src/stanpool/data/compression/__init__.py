"""Fewer rows of exactly the same likelihood."""

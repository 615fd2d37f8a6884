"""Draws of what was integrated out of the likelihood."""

"""Draws with labels."""

"""Predictions given what is known of the same subject or series."""

"""Predictions for rows and groups, seen and new."""

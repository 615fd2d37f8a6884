"""Predictions for rows and groups that are in the data, and for new ones."""

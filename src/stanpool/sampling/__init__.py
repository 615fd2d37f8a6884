"""Sampling a model, and saving its fits."""

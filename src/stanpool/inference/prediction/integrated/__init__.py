"""Likelihoods with group coefficients integrated out, and conditioning by them."""

"""Densities, means and draws of outcomes, as functions of arrays."""

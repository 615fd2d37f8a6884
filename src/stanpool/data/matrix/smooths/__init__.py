"""Penalised smooths: curves whose wiggliness has a scale to estimate."""

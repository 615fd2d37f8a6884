"""Checks of whether a program or a sampler is correct."""

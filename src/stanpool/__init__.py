"""Hierarchical models in three pooling templates, on real Stan."""

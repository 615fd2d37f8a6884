"""The graph of a model as a figure."""

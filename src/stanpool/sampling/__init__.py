"""From a model to its draws, and keeping them."""

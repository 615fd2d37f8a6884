"""From a model's structure to the text of its Stan program and its data."""

"""From a table to the design that a model sees."""

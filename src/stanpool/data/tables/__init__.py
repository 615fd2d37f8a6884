"""Tables wherever they are, as batches of rows."""

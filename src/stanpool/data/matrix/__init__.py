"""From terms and columns to model matrices, and back to new rows."""

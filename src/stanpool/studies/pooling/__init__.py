"""A model by three poolings, and the report that compares them."""

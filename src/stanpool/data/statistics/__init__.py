"""Statistics of rows that add up: what a likelihood needs of them, without them."""

"""Tables of estimates."""

"""What the templates are told."""

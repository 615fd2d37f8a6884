"""What makes the documentation site of the pages and of the package."""

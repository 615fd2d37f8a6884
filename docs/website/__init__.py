"""The code that makes the documentation site from the pages and the package."""

"""Finding, setting up and keeping Stan."""

"""The prior of each parameter: what was stated, or a default scaled from the data."""

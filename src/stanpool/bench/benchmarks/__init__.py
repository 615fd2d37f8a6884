"""What is fitted: models with their data."""

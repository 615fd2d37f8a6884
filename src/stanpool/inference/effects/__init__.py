"""What a model says on the scale of the outcome: averages, comparisons and slopes."""

"""The parts of linear predictors, from a table."""

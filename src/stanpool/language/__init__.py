"""What a user states: formulas, specifications, priors and families."""

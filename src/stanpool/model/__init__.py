"""A model with its data: priors, parameterization, program."""

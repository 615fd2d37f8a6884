"""A model that has met its data: priors, form, program."""

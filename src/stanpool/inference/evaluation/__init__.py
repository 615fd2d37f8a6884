"""How well a model predicts, and how its conclusions depend on data and priors."""

"""How well a model predicts, and what its conclusions hang on."""

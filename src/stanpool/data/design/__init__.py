"""The design: model matrices, groups and the outcome, with labels."""

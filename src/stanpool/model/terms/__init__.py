"""The terms of linear predictors: a module for each kind, with the same functions."""

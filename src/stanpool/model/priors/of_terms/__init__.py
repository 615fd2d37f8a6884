"""Default priors of terms that are of a kind of their own."""

"""Terms that are neither the population's nor of a grouping factor, as stated."""

"""What a model says, in mathematical notation: as equations, and as a graph."""

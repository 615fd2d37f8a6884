"""Studies by simulation: whether programs are correct, what designs would find."""

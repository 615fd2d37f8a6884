"""What parameters of terms mean in a density: groups, formulas, unknown values."""

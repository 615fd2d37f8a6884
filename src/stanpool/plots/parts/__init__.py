"""What figures are made of: axes, groups, outcomes and curves."""

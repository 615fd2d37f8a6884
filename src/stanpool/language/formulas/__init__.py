"""From the text of formulas to what they state, and back."""

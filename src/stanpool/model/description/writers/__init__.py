"""Equations as LaTeX, as MathML and as plain text."""

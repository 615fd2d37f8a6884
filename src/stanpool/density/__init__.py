"""The log posterior of every model in NumPy, written from the mathematics.

Nothing here is read off the templates or shared with what renders them, so that the
density that an engine computes can be held against it.
"""

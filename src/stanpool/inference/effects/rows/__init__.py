"""The rows and values of which effects are asked: grids, copies with other values."""

"""The classes and functions that users work with: models, fits, constructors."""

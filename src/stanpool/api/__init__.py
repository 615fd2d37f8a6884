"""What users hold: models, fits and their makers."""

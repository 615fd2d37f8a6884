"""What everything stands on: errors, progress, files, work in parallel."""

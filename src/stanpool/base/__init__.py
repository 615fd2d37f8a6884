"""What all other rooms use: errors, progress, files, work in parallel."""

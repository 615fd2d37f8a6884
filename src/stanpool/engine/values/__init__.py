"""Programs, draws and settings as values, which rooms below may hold."""

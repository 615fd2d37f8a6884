"""What operating systems do: files, processes side by side, and how systems differ."""

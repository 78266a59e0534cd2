"""Two child processes that take turns."""

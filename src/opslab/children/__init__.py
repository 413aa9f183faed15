"""The child processes, each its own composition root."""

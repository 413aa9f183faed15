"""Messages between control and its child processes."""

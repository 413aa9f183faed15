"""The only code that writes the lab's files."""

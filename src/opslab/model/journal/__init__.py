"""The journal: a class for each of its events."""

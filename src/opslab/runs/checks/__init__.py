"""Checks added to a run after it was recorded."""

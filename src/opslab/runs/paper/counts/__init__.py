"""Counts of a paper run, each folded from its source."""

"""Runs: one module a command, or a group of commands that need the same."""

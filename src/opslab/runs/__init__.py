"""Runs: planned, run, looked at."""

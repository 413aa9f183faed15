"""Breaks runs on purpose, many times over, and checks what is left: `python -m tests.breaking`."""

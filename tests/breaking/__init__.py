"""Failure experiments: inject failures into runs many times and check the results: `python -m tests.breaking`."""

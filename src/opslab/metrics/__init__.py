"""Metrics: families, their text, and the server. What is measured stands in the `metrics.py` of each feature."""

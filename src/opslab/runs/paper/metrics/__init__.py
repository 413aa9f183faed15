"""Metrics of a paper run: `counters.py` and, of a living node, `live.py`."""

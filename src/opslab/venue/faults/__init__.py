"""Faults on demand: one a file, named in `registry.py`, held and let go by `faults.py`."""

"""Fault injection: one module per fault in `kinds/`, listed in `registry.py`, started and ended by `controller.py`."""

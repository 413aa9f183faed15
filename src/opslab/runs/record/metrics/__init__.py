"""Metrics of runs: of all together, of each, and the counters of their ends."""

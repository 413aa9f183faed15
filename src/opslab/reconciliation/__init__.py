"""Compare two account snapshots: pure functions of the snapshots and of a time."""

"""Reconciliation of two account snapshots: the comparison, and the schema of a snapshot."""

"""Checks that are recorded in a run: readiness, probe, reconciliation."""

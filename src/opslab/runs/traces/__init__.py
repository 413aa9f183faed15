"""Traces of runs: spans from the journal, and their export by OpenTelemetry."""

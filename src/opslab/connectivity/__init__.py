"""Connectivity checks: environment variables that a spec names, and a probe of a loopback URL."""

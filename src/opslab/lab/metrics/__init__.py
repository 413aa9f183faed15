"""Metrics of the home: which families there are, the collector over the registry, and the server."""

"""The live node: monitoring, shutdown, flattening."""

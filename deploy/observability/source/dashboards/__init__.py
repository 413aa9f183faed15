"""The Grafana dashboards: one module each, and what they share."""

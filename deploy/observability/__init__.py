"""Prometheus, Alertmanager and Grafana for the metrics of `tc metrics serve`."""

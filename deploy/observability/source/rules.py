"""The rule file of Prometheus, from the table of alerts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deploy.observability.source.alerts import ALERTS, Alert
from deploy.observability.source.docs import runbook_url
from deploy.observability.source.yaml_text import to_yaml

GROUP = "opslab"


def rule_file(alerts: Sequence[Alert] = ALERTS) -> str:
    """One group; its interval is that of Prometheus."""
    return to_yaml({"groups": [{"name": GROUP, "rules": [rule(alert) for alert in alerts]}]})


def rule(alert: Alert) -> dict[str, Any]:
    """One alert as Prometheus reads it. `for` and `keep_firing_for` are left out where they are 0."""
    times = {"for": alert.for_seconds, "keep_firing_for": alert.keep_firing_seconds}
    return {
        "alert": alert.name,
        "expr": alert.expression.strip() + ("\n" if "\n" in alert.expression.strip() else ""),
        **{name: f"{seconds}s" for name, seconds in times.items() if seconds},
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": runbook_url(alert.page),
        },
    }


def shortened(alerts: Sequence[Alert] = ALERTS, *, seconds: int) -> list[Alert]:
    """The same alerts with no `for` or `keep_firing_for` above so many seconds: for tests with a real Prometheus."""
    return [
        replace(
            alert,
            for_seconds=min(alert.for_seconds, seconds),
            keep_firing_seconds=min(alert.keep_firing_seconds, seconds),
        )
        for alert in alerts
    ]

"""Test files of the rules, one an alert, for `promtool test rules` and `vmalert-tool unittest`."""

import re
from collections.abc import Mapping
from typing import Any

from deploy.observability.source.alerts import ALERTS, Alert
from deploy.observability.source.rule_cases import CASES, EVERY_SECONDS, Case, Expected
from deploy.observability.source.rules import rule
from deploy.observability.source.yaml_text import to_yaml

RULES = "../rules/opslab.yml"
_IF = re.compile(r"\{\{ if \$labels\.(\w+) \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}")
_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
_VALUE = re.compile(r"\{\{ \$value \| \w+ \}\}")


def test_files() -> dict[str, str]:
    """Name of the alert to the content of its file."""
    return {alert.name: _file(alert, CASES[alert.name]) for alert in ALERTS}


def _file(alert: Alert, cases: tuple[Case, ...]) -> str:
    every = f"{EVERY_SECONDS}s"
    tests = [
        {
            "name": case.claim,
            "interval": every,
            "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
            "alert_rule_test": [_expectation(alert, expected) for expected in case.expected],
        }
        for case in cases
    ]
    return to_yaml({"rule_files": [RULES], "evaluation_interval": every, "tests": tests})


def _expectation(alert: Alert, expected: Expected) -> dict[str, Any]:
    alerts = [
        {
            "exp_labels": {"severity": alert.severity, **labels},
            "exp_annotations": {
                name: rendered(text, labels, expected.value) for name, text in rule(alert)["annotations"].items()
            },
        }
        for labels in expected.firing
    ]
    return {"eval_time": f"{expected.at_seconds}s", "alertname": alert.name, "exp_alerts": alerts}


def rendered(template: str, labels: Mapping[str, str], value: str) -> str:
    """The text of an annotation, for the few forms of templates that the table has. value: as formatted."""
    text = _IF.sub(lambda found: found[2] if labels.get(found[1]) else found[3], template)
    return _VALUE.sub(value, _LABEL.sub(lambda found: labels.get(found[1], ""), text))

"""The dashboards as Grafana reads them: JSON of the classic dashboard schema, which file provisioning takes."""

import json
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from deploy.observability.source.dashboards import all_runs, drills, run

type Json = dict[str, Any]

BUILDERS = {"all-runs": all_runs.build, "drills": drills.build, "run": run.build}
"""Name of the file without suffix, and function."""


def json_files() -> dict[str, str]:
    """Name of the file to its text."""
    return {f"{name}.json": json_text(build()) for name, build in BUILDERS.items()}


def json_text(dashboard: model.Dashboard) -> str:
    content = json.loads(JSONEncoder().encode(dashboard))
    for found, names in _foreign(content):
        for name in names:
            found.pop(name, None)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _foreign(content: Json) -> Iterator[tuple[Json, tuple[str, ...]]]:
    """Objects, and names in them that the SDK sets always and Grafana's schema does not have, or that hide a link."""
    for link in (*content["links"], *content["annotations"]["list"]):
        yield link, ("placement",)  # it moves them into a menu
    for variable in content["templating"]["list"]:
        yield variable, ("auto", "auto_count", "auto_min")  # of another type of variable
    for panel in content["panels"]:
        for link in (*panel.get("links", []), *panel.get("fieldConfig", {}).get("defaults", {}).get("links", [])):
            yield link, ("placement",)
        if panel["type"] == "table":
            yield panel["options"], ("footer",)  # of earlier versions

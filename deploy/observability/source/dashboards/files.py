"""The dashboards as Grafana reads them: JSON of the classic dashboard schema, which file provisioning takes."""

import json
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from deploy.observability.source.dashboards import all_runs, run

BUILDERS = {"all-runs": all_runs.build, "run": run.build}
"""Name of the file without suffix, and function."""


def json_files() -> dict[str, str]:
    """Name of the file to its text."""
    return {f"{name}.json": json_text(build()) for name, build in BUILDERS.items()}


def json_text(dashboard: model.Dashboard) -> str:
    content = json.loads(JSONEncoder().encode(dashboard))
    links = (link for panel in content["panels"] for link in _links(panel))
    for each in (*content["links"], *content["annotations"]["list"], *links):
        del each["placement"]  # the SDK always sets it: Grafana would show the link in a menu
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _links(panel: dict[str, Any]) -> list[dict[str, Any]]:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    return [*panel.get("links", []), *defaults.get("links", [])]

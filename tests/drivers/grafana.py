"""The committed dashboards, as tests read them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "observability" / "grafana"
DASHBOARDS = tuple(sorted((FOLDER / "dashboards").glob("*.json")))
RATE_INTERVAL = "1m"
"""Value of `$__rate_interval` in tests."""

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A query of a panel, of an annotation or of a variable."""

    dashboard: str
    title: str
    expression: str
    """With Grafana's variables."""
    legend: str

    def __str__(self) -> str:
        return f"{self.dashboard}-{self.title}-{self.legend}"

    def for_run(self, run_id: str) -> str:
        """The expression as Prometheus receives it."""
        text = self.expression.replace("$__rate_interval", RATE_INTERVAL).replace("$run_id", run_id)
        assert "$" not in text, text
        return text

    @property
    def legend_labels(self) -> set[str]:
        return set(re.findall(r"\{\{\s*(\w+)\s*\}\}", self.legend))

    def legend_of(self, labels: dict[str, str]) -> str:
        """As Grafana writes it for a series."""
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda name: labels.get(name[1], ""), self.legend).strip()


def load(path: Path) -> Json:
    content: Json = json.loads(path.read_text(encoding="utf-8"))
    return content


def panels(dashboard: Json) -> list[Json]:
    """All but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(path: Path) -> Iterator[Target]:
    """Those of the panels."""
    for panel in panels(load(path)):
        for target in panel.get("targets", []):
            yield Target(path.stem, panel["title"], target["expr"], target["legendFormat"])


def annotations(path: Path) -> Iterator[Target]:
    for annotation in load(path)["annotations"].get("list", []):
        yield Target(path.stem, annotation["name"], annotation["target"]["expr"], annotation["textFormat"])


def links(dashboard: Json) -> Iterator[tuple[str, str]]:
    """Title of the panel or the dashboard, and address, of each link."""
    for link in dashboard.get("links", []):
        yield dashboard["title"], link["url"]
    for panel in panels(dashboard):
        for link in panel_links(panel):
            yield panel["title"], link


def panel_links(panel: Json) -> list[str]:
    """Addresses in its header, its series, its cells and its text."""
    config = panel.get("fieldConfig", {})
    properties = [each for override in config.get("overrides", []) for each in override["properties"]]
    found = [*panel.get("links", []), *config.get("defaults", {}).get("links", [])]
    found += [link for each in properties if each["id"] == "links" for link in each["value"]]
    text = re.findall(r"\]\(([^)]+)\)", panel.get("options", {}).get("content", ""))
    return [link["url"] for link in found] + text

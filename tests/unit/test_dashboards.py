"""The committed Grafana dashboards: grid, content of each panel, names in queries."""

import itertools
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import yaml
from deploy.observability.source.dashboards import states
from deploy.observability.source.dashboards.panels import DATASOURCE_UID

from opslab.drills.metrics import STATES
from opslab.lab.metrics.families import FAMILIES
from opslab.model.checks.connectivity import ProbeState, ReadinessState
from opslab.model.messages.paper_messages import FeedState
from opslab.model.run.halt_summary import SwitchState
from opslab.model.run.live_status import Phase
from opslab.model.run.metadata import Failure, Status
from opslab.model.run.run_counters import Reconciled
from tests.drivers.grafana import (
    DASHBOARDS,
    FOLDER,
    Json,
    Target,
    annotations,
    load,
    panel_links,
    panels,
    targets,
)
from tests.drivers.promql import Selector, names_of
from tests.drivers.tools import need_tools

COLUMNS = 24
TARGET_LABELS = {"instance", "job"}
"""Given by Prometheus to each series that it scrapes."""
LABELS = {family.name: set(family.labels) | TARGET_LABELS for family in FAMILIES} | {
    f"{family.name}{suffix}": set(family.labels) | TARGET_LABELS | {"le"}
    for family in FAMILIES
    if family.kind == "histogram"
    for suffix in ("_bucket", "_count", "_sum")
}
LABELS["ALERTS"] = {"alertname", "alertstate", "severity", "run_id", "drill"}
"""Made by Prometheus from the rules."""
ALL_TARGETS = [target for path in DASHBOARDS for target in (*targets(path), *annotations(path))]
ALL_PANELS = [(path.stem, panel) for path in DASHBOARDS for panel in panels(load(path))]
each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
each_panel = pytest.mark.parametrize(
    "panel", [panel for _, panel in ALL_PANELS], ids=[f"{name}-{panel['title']}" for name, panel in ALL_PANELS]
)
each_target = pytest.mark.parametrize("target", ALL_TARGETS, ids=str)


def test_all_dashboards_are_committed() -> None:
    assert [path.stem for path in DASHBOARDS] == ["all-runs", "drills", "run"]
    assert len({load(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS)


@each_dashboard
def test_panels_have_their_own_ids_and_places(path: Path) -> None:
    boxes = [(panel["id"], panel["gridPos"]) for panel in load(path)["panels"]]
    assert len({number for number, _ in boxes}) == len(boxes)
    for _, box in boxes:
        assert box["w"] > 0
        assert box["h"] > 0
        assert box["x"] >= 0
        assert box["x"] + box["w"] <= COLUMNS
    for (one, box), (other, next_box) in itertools.combinations(boxes, 2):
        assert not _overlap(box, next_box), (one, other)


def _overlap(one: Json, other: Json) -> bool:
    return bool(
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@each_dashboard
def test_titles_are_different_within_a_dashboard(path: Path) -> None:
    titles = [panel["title"] for panel in panels(load(path))]
    assert len(set(titles)) == len(titles)


def test_the_run_dashboard_has_the_panels_and_the_variable_of_the_contract() -> None:
    run = load(FOLDER / "dashboards" / "run.json")
    titles = {panel["title"] for panel in panels(run)}
    assert titles >= {
        "Kill Switch State",
        "Connectivity Readiness",
        "Connectivity Probe State",
        "Connectivity Probe Latency",
    }
    [variable] = run["templating"]["list"]
    assert variable["name"] == "run_id"
    assert variable["query"]["query"] == "label_values(opslab_run_info, run_id)"
    assert "run_id" in LABELS["opslab_run_info"]


@each_panel
def test_a_panel_says_what_it_shows(panel: Json) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel_links(panel)
    if panel["type"] == "text":
        return
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert [target["refId"] for target in panel["targets"]] == ["A", "B", "C", "D", "E"][: len(panel["targets"])]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert target["datasource"]["uid"] == DATASOURCE_UID
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert panel["type"] == "table" or len(set(legends)) == len(legends)


@pytest.mark.parametrize(
    "panel",
    [
        panel
        for _, panel in ALL_PANELS
        if panel["type"] == "state-timeline" or panel.get("fieldConfig", {}).get("defaults", {}).get("mappings")
    ],
    ids=lambda panel: panel["title"],
)
def test_a_panel_of_states_maps_each_value_to_a_text(panel: Json) -> None:
    [mapping] = panel["fieldConfig"]["defaults"]["mappings"]
    assert set(mapping["options"]) >= {"0", "1"}
    assert all(result["text"] for result in mapping["options"].values())


@pytest.mark.parametrize(
    ("table", "known"),
    [
        (states.RUN, get_args(Status)),
        (states.PHASE, get_args(Phase)),
        (states.KILL_SWITCH, get_args(SwitchState)),
        (states.FEED, get_args(FeedState)),
        (states.RECONCILIATION, get_args(Reconciled)),
        (states.READINESS, get_args(ReadinessState)),
        (states.DRILL, STATES),
        (states.PROBE, get_args(ProbeState)),
        (states.FAILURE, get_args(Failure.model_fields["kind"].annotation)),
    ],
    ids=lambda value: value.family if isinstance(value, states.States) else "",
)
def test_the_colours_of_a_state_are_complete(table: states.States, known: tuple[str, ...]) -> None:
    assert set(table.colors) == set(known)


@each_target
def test_a_query_names_families_and_labels_that_the_exporter_has(target: Target) -> None:
    names = names_of(target.for_run("r1"))
    assert names.selectors
    available: set[str] = set(names.made)
    for selector in names.selectors:
        assert selector.name in LABELS, selector
        assert {label for label, _, _ in selector.matchers} <= LABELS[selector.name], selector
        available |= LABELS[selector.name]
    assert names.labels <= available
    assert target.legend_labels <= available


@pytest.mark.parametrize("target", [each for each in ALL_TARGETS if each.dashboard == "run"], ids=str)
def test_a_query_of_the_run_dashboard_is_about_its_run(target: Target) -> None:
    for selector in names_of(target.for_run("r1")).selectors:
        assert {("run_id", "=", "r1"), ("run_id", "=~", "r1|")} & set(selector.matchers), selector


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    need_tools("promtool")
    rules = [{"record": f"query:{number}", "expr": target.for_run("r1")} for number, target in enumerate(ALL_TARGETS)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_names_of_an_expression() -> None:
    names = names_of(
        'sum by (a) (rate(x_total{b="1", c=~"d|e"}[5m])) / on (f) group_left (g) y > 0.5 '
        "and z offset 5m unless w == bool 1"
    )
    assert names.selectors == [
        Selector("x_total", (("b", "=", "1"), ("c", "=~", "d|e"))),
        Selector("y"),
        Selector("z"),
        Selector("w"),
    ]
    assert names.labels == {"a", "f", "g"}
    made = names_of('label_replace(x{a="c"}, "made", "page-one", "from", "value")')
    assert (made.selectors, made.labels, made.made) == ([Selector("x", (("a", "=", "c"),))], {"from"}, {"made"})

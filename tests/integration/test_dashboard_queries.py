"""Every query of the dashboards returns data: runs that `tc` made, its exporter, and a Prometheus that scrapes it."""

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from opslab.model.primitives.instant import iso
from tests.drivers.exporter import exporter
from tests.drivers.grafana import DASHBOARDS, FOLDER, Target, annotations, load, panels, targets
from tests.drivers.paper_run import PaperRun, paper_spec, with_fields
from tests.drivers.prometheus import Prometheus, Series, prometheus
from tests.drivers.tc import FIRST_DAY, Tc, wait_until
from tests.drivers.tools import need_tools
from tests.fakes.drill_records import add_drill

RULES = FOLDER.parent / "prometheus" / "rules" / "opslab.yml"
STATES = {
    "backtest": "completed",
    "broken": "failed",
    "checked": "initialized",
    "stopped": "halted",
    "living": "running",
}
"""Run of this test to its status; one more, `damaged`, cannot be read."""
READY = (
    'rate(opslab_order_round_trip_seconds_count{run_id="living"}[1m]) > 0',
    'rate(opslab_heartbeats_total{run_id="living"}[1m]) > 0',
    'ALERTS{alertname="RunFailed", alertstate="firing"}',
    'ALERTS{alertname="DrillFailed", alertstate="firing"}',
)
"""Expressions that have data once Prometheus has scraped enough."""
READINESS = {
    "enabled": True,
    "target": "testnet",
    "credential_placeholders": {"required_env": ["OPSLAB_TEST_KEY"], "optional_env": []},
}
FAILING = """
from nautilus_trader.trading import Strategy


class Failing(Strategy):
    def on_start(self):
        raise ValueError("no")
"""


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the exporter of a home with the runs of `STATES`, one of them with a fault."""
    need_tools("prometheus")
    folder = tmp_path_factory.mktemp("dashboards")
    tc = Tc(folder / "home")
    tc.home.mkdir()
    (tc.home / "data").symlink_to(sample_home / "data")
    with ExitStack() as stack:
        stopped = stack.enter_context(_paper(tc, "stopped"))
        living = stack.enter_context(_paper(tc, "living"))
        served = stack.enter_context(exporter(tc))
        _ended_runs(tc, f"{served.url}/healthz")
        stopped.wait_for_bars(5)
        stopped.fault("delay", ms=5, which="market")
        assert tc("kill", "activate", "--run-id", "stopped", "--reason", "test").code == 0
        assert stopped.end().code == 4
        living.wait_for("reconciliation_checked", with_fields(occasion="periodic"))
        living.fault("delay", ms=5, which="market")
        server = stack.enter_context(prometheus(_config(folder, served.url), folder / "prometheus"))
        wait_until(lambda: all(server.query(each) for each in READY), "data of the running run")
        yield server
        assert living.process.poll() is None


@contextmanager
def _paper(tc: Tc, run_id: str) -> Iterator[PaperRun]:
    spec = paper_spec(tc, name=f"{run_id}.yaml", speed=120, max_bars=10_000, reconcile_every_seconds=1)
    with PaperRun(tc, spec, run_id) as run:
        yield run


def _ended_runs(tc: Tc, url: str) -> None:
    """And one that is checked only; two have a drill on record."""
    lifecycle = tc.spec("backtest.yaml", strategy="order_lifecycle_demo", data=FIRST_DAY)
    tc.ok("run", "backtest", "--spec", lifecycle, "--run-id", "backtest")
    shutil.copytree(tc.run_folder("backtest"), tc.run_folder("damaged"))
    for name in ("metadata.json", "journal.jsonl"):
        (tc.run_folder("damaged") / name).write_text("{\n")
    add_drill(tc, "backtest", "disconnect", "pass", iso(time.time_ns()), 1.5, 4.25)
    (tc.home / "failing.py").write_text(FAILING)
    failing = tc.own_spec(tc.home, {"path": "failing:Failing"})
    assert tc("run", "backtest", "--spec", failing, "--run-id", "broken").code == 1
    add_drill(tc, "broken", "engine-hang", "fail", iso(time.time_ns()), 2.5)
    spec = tc.spec("checked.yaml", connectivity_readiness=READINESS)
    tc.ok("run", "init", "--spec", spec, "--run-id", "checked")
    assert tc("connectivity", "readiness", "--spec", spec, "--run-id", "checked").code == 1
    tc.ok("connectivity", "probe", "--spec", spec, "--url", url, "--run-id", "checked")


def _config(folder: Path, url: str) -> Path:
    content = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "opslab", "static_configs": [{"targets": [url.removeprefix("http://")]}]},
        ],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def _data(server: Prometheus, target: Target) -> dict[str, list[Series]]:
    """Run to its series. The queries about all runs are made once."""
    runs = STATES if target.dashboard == "run" else {"": ""}
    answers = {run_id: server.query(target.for_run(run_id)) for run_id in runs}
    return {run_id: answer for run_id, answer in answers.items() if answer}


def test_every_query_returns_data_with_the_labels_of_its_legend(server: Prometheus) -> None:
    queries = [target for path in DASHBOARDS for target in (*targets(path), *annotations(path))]
    assert len(queries) > 80
    problems = []
    for target in queries:
        data = _data(server, target)
        if not data:
            problems.append(f"{target}: no data")
            continue
        labels = {label for answer in data.values() for each in answer for label in each.labels}
        problems += [f"{target}: no label {name}" for name in target.legend_labels - labels]
        for run_id, answer in data.items():
            legends = [target.legend_of(each.labels) for each in answer]
            if len(set(legends)) < len(legends):
                problems.append(f"{target} of {run_id}: series with the same legend: {legends}")
        if all(math.isnan(each.value) for answer in data.values() for each in answer):
            problems.append(f"{target}: no value")
    assert not problems, "\n".join(problems)


def test_states_are_shown_by_their_names(server: Prometheus) -> None:
    """Of each panel with value mappings, each value has a text; the status of each run is the text of its number."""
    shown: dict[str, str] = {}
    for path in DASHBOARDS:
        texts = {
            panel["title"]: {
                int(value): result["text"]
                for mapping in panel["fieldConfig"]["defaults"]["mappings"]
                for value, result in mapping["options"].items()
            }
            for panel in panels(load(path))
            if panel.get("fieldConfig", {}).get("defaults", {}).get("mappings")
        }
        assert texts
        for target in targets(path):
            if target.title not in texts:
                continue
            for run_id, answer in _data(server, target).items():
                for each in answer:
                    text = texts[target.title][int(each.value)]
                    assert text != "unknown", (target, run_id, each)
                    if target.title == "Run State":
                        shown[run_id] = text
    assert shown == STATES


def test_the_runs_that_need_an_operator_are_listed_with_their_runbooks(server: Prometheus) -> None:
    [target] = [each for path in DASHBOARDS for each in targets(path) if each.title == "Runs That Need an Operator"]
    listed = {(each.labels["run_id"], each.labels["runbook"]) for each in server.query(target.for_run(""))}
    assert listed == {("broken", "run-failed"), ("stopped", "kill-switch"), ("damaged", "artifact-health")}
    [count] = server.query("sum(opslab_runs_unacknowledged) + sum(opslab_runs_unreadable)")
    assert len(listed) == count.value


def test_the_variable_offers_the_runs(server: Prometheus) -> None:
    names = server.get("label/run_id/values", **{"match[]": "opslab_run_info"})
    assert sorted(names) == sorted(STATES)


def test_tables_have_the_labels_of_their_columns(server: Prometheus) -> None:
    for path in DASHBOARDS:
        for panel in panels(load(path)):
            if panel["type"] != "table":
                continue
            shown = next(each for each in panel["transformations"] if each["id"] == "filterFieldsByName")
            columns = set(shown["options"]["include"]["names"])
            labels = {
                label
                for target in targets(path)
                if target.title == panel["title"]
                for answer in _data(server, target).values()
                for each in answer
                for label in each.labels
            }
            values = (
                {"Value"} if len(panel["targets"]) == 1 else {f"Value #{each['refId']}" for each in panel["targets"]}
            )
            assert columns <= labels | values, (panel["title"], columns - labels)

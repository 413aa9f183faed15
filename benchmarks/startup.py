"""How fast a command that reads little is there: against a Python that loads what such commands are built from."""

import json
import shutil
from pathlib import Path

from benchmarks.process import CouldNotMeasure, Sample, run
from benchmarks.scene import Scene, document
from benchmarks.table import AtMost, Pairs, Row, in_turn

REPEAT = 9
"""A tenth of a second is soon disturbed."""
RUNS = 50
_YARDSTICK = "import typer, pydantic, yaml"


def help_(scene: Scene) -> list[Row]:
    pairs = _against_imports(scene, "--help")
    return [
        pairs.wall("help", "tc --help", AtMost(1.5)),
        pairs.cpu("help", "tc --help"),
        pairs.peak("help", "tc --help", AtMost(45, of_ratio=False)),
    ]


def run_list(scene: Scene) -> list[Row]:
    home = scene.work / "runs-home"
    _make_runs(scene)
    listed = document(run([scene.tc, "run", "list", "--json", "--home", home], scene.work))["runs"]
    if [row["status"] for row in listed] != ["completed"] * RUNS:
        raise CouldNotMeasure(f"tc run list does not show {RUNS} completed runs")
    pairs = _against_imports(scene, "run", "list", "--home", str(home))
    what = f"tc run list, {RUNS} runs"
    return [
        pairs.wall("run-list", what, AtMost(2.5)),
        pairs.cpu("run-list", what),
        pairs.peak("run-list", what),
    ]


def kill_activate(scene: Scene) -> list[Row]:
    """Of all runs, in a home without any; and of an initialized run, whose journal is told."""
    home = _switch_home(scene)
    spec = scene.spec("btcusdt-sample")
    run([scene.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], scene.work)
    words = ("kill", "activate", "--reason", "benchmark", "--home", str(home))
    alone = _against_imports(scene, *words, "--all")
    run([scene.tc, "run", "init", "--spec", spec, "--run-id", "run-1", "--home", home], scene.work)
    told = _against_imports(scene, *words, "--run-id", "run-1")
    status = document(run([scene.tc, "kill", "status", "--run-id", "run-1", "--json", "--home", home], scene.work))
    if status["state"] != "active":
        raise CouldNotMeasure("tc kill activate does not activate")
    return [
        alone.wall("kill-activate", "tc kill activate --all", AtMost(2.5)),
        alone.cpu("kill-activate", "tc kill activate --all"),
        alone.peak("kill-activate", "tc kill activate --all"),
        told.wall("kill-activate", "tc kill activate, a run told", AtMost(2.5)),
        told.cpu("kill-activate", "tc kill activate, a run told"),
    ]


def kill_status(scene: Scene) -> list[Row]:
    home = _switch_home(scene)
    for number in range(RUNS):
        words = ("kill", "activate", "--run-id", f"run-{number}", "--reason", "benchmark", "--home", str(home))
        run([scene.tc, *words], scene.work)
    listed = document(run([scene.tc, "kill", "status", "--json", "--home", home], scene.work))["switches"]
    if [switch["state"] for switch in listed] != ["active"] * RUNS:
        raise CouldNotMeasure(f"tc kill status does not show {RUNS} active switches")
    pairs = _against_imports(scene, "kill", "status", "--home", str(home))
    what = f"tc kill status, {RUNS} switches"
    return [
        pairs.wall("kill-status", what, AtMost(2.5)),
        pairs.cpu("kill-status", what),
        pairs.peak("kill-status", what),
    ]


def _switch_home(scene: Scene) -> Path:
    """Empty."""
    home = scene.work / "switch-home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return home


def _against_imports(scene: Scene, *words: str) -> Pairs:
    def ours() -> Sample:
        return run([scene.tc, *words], scene.work)

    def yardstick() -> Sample:
        return run([scene.python, "-c", _YARDSTICK], scene.work)

    ours(), yardstick()  # compiled and in the page cache from here on
    return in_turn(scene.repeat or REPEAT, ours, yardstick)


def _make_runs(scene: Scene) -> None:
    """One real run, copied under other names."""
    home = scene.work / "runs-home"
    shutil.rmtree(home, ignore_errors=True)
    scene.tell(f"making {RUNS} runs")
    run([scene.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], scene.work)
    spec = scene.spec("btcusdt-sample")
    run([scene.tc, "run", "backtest", "--spec", spec, "--run-id", "run-1", "--home", home], scene.work)
    first = home / "artifacts" / "runs" / "run-1"
    metadata = json.loads((first / "metadata.json").read_text())
    for number in range(2, RUNS + 1):
        copy = first.with_name(f"run-{number}")
        shutil.copytree(first, copy)
        (copy / "metadata.json").write_text(json.dumps({**metadata, "run_id": copy.name}, indent=2) + "\n")

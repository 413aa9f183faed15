"""Duration of commands that read little, compared with a Python that imports the same libraries."""

import json
import shutil
from pathlib import Path

from benchmarks.context import BenchmarkContext, document
from benchmarks.process import MeasurementError, Sample, run
from benchmarks.table import AtMost, Pairs, Row, alternate

REPEAT = 9
"""Many repetitions: a measurement of a tenth of a second is easily disturbed."""
RUNS = 50
_YARDSTICK = "import typer, pydantic, yaml"


def help_(context: BenchmarkContext) -> list[Row]:
    pairs = _compare_with_imports(context, "--help")
    return [
        pairs.wall("help", "tc --help", AtMost(1.5)),
        pairs.cpu("help", "tc --help"),
        pairs.peak("help", "tc --help", AtMost(45, of_ratio=False)),
    ]


def run_list(context: BenchmarkContext) -> list[Row]:
    home = context.work / "runs-home"
    _make_runs(context)
    listed = document(run([context.tc, "run", "list", "--json", "--home", home], context.work))["runs"]
    if [row["status"] for row in listed] != ["completed"] * RUNS:
        raise MeasurementError(f"tc run list does not show {RUNS} completed runs")
    pairs = _compare_with_imports(context, "run", "list", "--home", str(home))
    label = f"tc run list, {RUNS} runs"
    return [
        pairs.wall("run-list", label, AtMost(2.5)),
        pairs.cpu("run-list", label),
        pairs.peak("run-list", label),
    ]


def kill_activate(context: BenchmarkContext) -> list[Row]:
    """Activation for all runs, in a home without runs; and for an initialized run, with an event in its journal."""
    home = _switch_home(context)
    spec = context.spec("btcusdt-sample")
    run([context.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], context.work)
    arguments = ("kill", "activate", "--reason", "benchmark", "--home", str(home))
    alone = _compare_with_imports(context, *arguments, "--all")
    run([context.tc, "run", "init", "--spec", spec, "--run-id", "run-1", "--home", home], context.work)
    reported = _compare_with_imports(context, *arguments, "--run-id", "run-1")
    status = document(run([context.tc, "kill", "status", "--run-id", "run-1", "--json", "--home", home], context.work))
    if status["state"] != "active":
        raise MeasurementError("tc kill activate does not activate")
    return [
        alone.wall("kill-activate", "tc kill activate --all", AtMost(2.5)),
        alone.cpu("kill-activate", "tc kill activate --all"),
        alone.peak("kill-activate", "tc kill activate --all"),
        reported.wall("kill-activate", "tc kill activate, with a run's journal", AtMost(2.5)),
        reported.cpu("kill-activate", "tc kill activate, with a run's journal"),
    ]


def kill_status(context: BenchmarkContext) -> list[Row]:
    home = _switch_home(context)
    for number in range(RUNS):
        arguments = ("kill", "activate", "--run-id", f"run-{number}", "--reason", "benchmark", "--home", str(home))
        run([context.tc, *arguments], context.work)
    listed = document(run([context.tc, "kill", "status", "--json", "--home", home], context.work))["switches"]
    if [switch["state"] for switch in listed] != ["active"] * RUNS:
        raise MeasurementError(f"tc kill status does not show {RUNS} active switches")
    pairs = _compare_with_imports(context, "kill", "status", "--home", str(home))
    label = f"tc kill status, {RUNS} switches"
    return [
        pairs.wall("kill-status", label, AtMost(2.5)),
        pairs.cpu("kill-status", label),
        pairs.peak("kill-status", label),
    ]


def _switch_home(context: BenchmarkContext) -> Path:
    """Create an empty home."""
    home = context.work / "switch-home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return home


def _compare_with_imports(context: BenchmarkContext, *arguments: str) -> Pairs:
    def lab() -> Sample:
        return run([context.tc, *arguments], context.work)

    def yardstick() -> Sample:
        return run([context.python, "-c", _YARDSTICK], context.work)

    lab(), yardstick()  # compiles the modules and fills the page cache
    return alternate(context.repeat or REPEAT, lab, yardstick)


def _make_runs(context: BenchmarkContext) -> None:
    """Create one real run and copies under other run ids."""
    home = context.work / "runs-home"
    shutil.rmtree(home, ignore_errors=True)
    context.note(f"making {RUNS} runs")
    run([context.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], context.work)
    spec = context.spec("btcusdt-sample")
    run([context.tc, "run", "backtest", "--spec", spec, "--run-id", "run-1", "--home", home], context.work)
    first_run = home / "artifacts" / "runs" / "run-1"
    metadata = json.loads((first_run / "metadata.json").read_text())
    for number in range(2, RUNS + 1):
        copy = first_run.with_name(f"run-{number}")
        shutil.copytree(first_run, copy)
        (copy / "metadata.json").write_text(json.dumps({**metadata, "run_id": copy.name}, indent=2) + "\n")

"""List of many runs, compared with a Python program that only finds and parses each `metadata.json`."""

import json
import shutil
import time
from pathlib import Path

from benchmarks.context import BenchmarkContext, document
from benchmarks.process import MeasurementError, Sample, run
from benchmarks.table import AtMost, Pairs, Row, alternate

REPEAT = 7
RUNS = 10_000
_SETTLED_SECONDS = 2.5
"""The index does not store runs that changed a moment ago."""

_DISCARD_OUTPUT = 'exec "$@" >/dev/null'
"""Discards the output: megabytes of it would make the measuring process grow."""


def run_list_10k(context: BenchmarkContext) -> list[Row]:
    home = context.work / "many-runs-home"
    make_runs(context, home, RUNS)
    index = home / "runtime" / "index" / "runs.json"
    index.unlink(missing_ok=True)
    label = f"tc run list, {RUNS:,} runs"
    cold = _compare_with_reading(context, home, remove_before=index)
    list_arguments = ("run", "list", "--status", "completed", "--limit", "1", "--json", "--home", str(home))
    if document(run([context.tc, *list_arguments], context.work))["total"] != RUNS:
        raise MeasurementError(f"tc run list does not show {RUNS:,} completed runs")
    if not index.exists():
        raise MeasurementError("tc run list writes no index")
    warm = _compare_with_reading(context, home)
    warm_json = _compare_with_reading(context, home, "--json")
    return [
        warm.wall("run-list-10k", f"{label}, warm", AtMost(2.0)),
        warm.cpu("run-list-10k", f"{label}, warm"),
        warm.peak("run-list-10k", f"{label}, warm"),
        warm_json.wall("run-list-10k", f"{label}, warm, --json", AtMost(2.0)),
        cold.wall("run-list-10k", f"{label}, cold", AtMost(4.0)),
        cold.cpu("run-list-10k", f"{label}, cold"),
    ]


def _compare_with_reading(
    context: BenchmarkContext, home: Path, *arguments: str, remove_before: Path | None = None
) -> Pairs:
    """remove_before: a file to remove before each measurement of the lab."""

    def lab() -> Sample:
        if remove_before:
            remove_before.unlink(missing_ok=True)
        return run(
            ["sh", "-c", _DISCARD_OUTPUT, "sh", context.tc, "run", "list", *arguments, "--home", home], context.work
        )

    def yardstick() -> Sample:
        return run([context.python, context.program("read_runs"), home / "artifacts" / "runs"], context.work)

    lab(), yardstick()  # compiles the modules and fills the page cache
    return alternate(context.repeat or REPEAT, lab, yardstick)


def make_runs(context: BenchmarkContext, home: Path, count: int) -> None:
    """Create the records of one real run under many run ids."""
    shutil.rmtree(home, ignore_errors=True)
    context.note(f"making {count:,} runs")
    run([context.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], context.work)
    spec = context.spec("btcusdt-sample")
    run([context.tc, "run", "backtest", "--spec", spec, "--run-id", "run-1", "--home", home], context.work)
    first_run = home / "artifacts" / "runs" / "run-1"
    metadata = json.loads((first_run / "metadata.json").read_text())
    journal = (first_run / "journal.jsonl").read_text()
    for number in range(2, count + 1):
        copy = first_run.with_name(f"run-{number}")
        copy.mkdir()
        (copy / "metadata.json").write_text(json.dumps({**metadata, "run_id": copy.name}, indent=2) + "\n")
        (copy / "journal.jsonl").write_text(journal.replace('"run_id":"run-1"', f'"run_id":"{copy.name}"', 1))
    time.sleep(_SETTLED_SECONDS)

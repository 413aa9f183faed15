"""A list of many runs: against a Python program that finds and parses each `metadata.json`, and does nothing else."""

import json
import shutil
import time
from pathlib import Path

from benchmarks.process import CouldNotMeasure, Sample, run
from benchmarks.scene import Scene, document
from benchmarks.table import AtMost, Pairs, Row, in_turn

REPEAT = 7
RUNS = 10_000
_SETTLED_SECONDS = 2.5
"""The index keeps nothing that changed just now."""

_UNHEARD = 'exec "$@" >/dev/null'
"""Megabytes of output would make the measuring process grow."""


def run_list_10k(scene: Scene) -> list[Row]:
    home = scene.work / "many-runs-home"
    _make_runs(scene, home)
    index = home / "runtime" / "index" / "runs.json"
    index.unlink(missing_ok=True)
    what = f"tc run list, {RUNS:,} runs"
    cold = _against_reading(scene, home, forget=index)
    asked = ("run", "list", "--status", "completed", "--limit", "1", "--json", "--home", str(home))
    if document(run([scene.tc, *asked], scene.work))["total"] != RUNS:
        raise CouldNotMeasure(f"tc run list does not show {RUNS:,} completed runs")
    if not index.exists():
        raise CouldNotMeasure("tc run list leaves no index")
    warm = _against_reading(scene, home)
    warm_json = _against_reading(scene, home, "--json")
    return [
        warm.wall("run-list-10k", f"{what}, warm", AtMost(2.0)),
        warm.cpu("run-list-10k", f"{what}, warm"),
        warm.peak("run-list-10k", f"{what}, warm"),
        warm_json.wall("run-list-10k", f"{what}, warm, --json", AtMost(2.0)),
        cold.wall("run-list-10k", f"{what}, cold", AtMost(4.0)),
        cold.cpu("run-list-10k", f"{what}, cold"),
    ]


def _against_reading(scene: Scene, home: Path, *words: str, forget: Path | None = None) -> Pairs:
    """forget: a file to remove before each of ours."""

    def ours() -> Sample:
        if forget:
            forget.unlink(missing_ok=True)
        return run(["sh", "-c", _UNHEARD, "sh", scene.tc, "run", "list", *words, "--home", home], scene.work)

    def yardstick() -> Sample:
        return run([scene.python, scene.program("read_runs"), home / "artifacts" / "runs"], scene.work)

    ours(), yardstick()  # compiled and in the page cache from here on
    return in_turn(scene.repeat or REPEAT, ours, yardstick)


def _make_runs(scene: Scene, home: Path) -> None:
    """The records of one real run under many names."""
    shutil.rmtree(home, ignore_errors=True)
    scene.tell(f"making {RUNS:,} runs")
    run([scene.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], scene.work)
    spec = scene.spec("btcusdt-sample")
    run([scene.tc, "run", "backtest", "--spec", spec, "--run-id", "run-1", "--home", home], scene.work)
    first = home / "artifacts" / "runs" / "run-1"
    metadata = json.loads((first / "metadata.json").read_text())
    journal = (first / "journal.jsonl").read_text()
    for number in range(2, RUNS + 1):
        copy = first.with_name(f"run-{number}")
        copy.mkdir()
        (copy / "metadata.json").write_text(json.dumps({**metadata, "run_id": copy.name}, indent=2) + "\n")
        (copy / "journal.jsonl").write_text(journal.replace('"run_id":"run-1"', f'"run_id":"{copy.name}"', 1))
    time.sleep(_SETTLED_SECONDS)

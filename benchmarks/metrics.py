"""Scrapes of `tc metrics serve` with many runs, compared with a scrape of a small home."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.context import BenchmarkContext
from benchmarks.process import MeasurementError
from benchmarks.registry import make_runs
from benchmarks.table import AtMost, Row

COUNTS = ((5_000, 0.100), (10_000, 0.200))
"""Number of runs, and the goal of the 95th percentile of a warm scrape in seconds."""
SCRAPES = 200
_UNACKNOWLEDGED = 100
"""Of the runs: failed ones, which are shown in full."""
_WARM_SCRAPES = 20
_MAX_GROWTH_BYTES = 4_000_000
"""Of the exporter's memory during 200 scrapes: flat, but for the allocator."""


def metrics(context: BenchmarkContext) -> list[Row]:
    rows: list[Row] = []
    for count, goal_seconds in COUNTS:
        home = context.work / f"metrics-home-{count}"
        make_runs(context, home, count)
        _make_failed(home)
        label = f"scrape, {count:,} runs, {_UNACKNOWLEDGED} of them unacknowledged"
        with _exporter(context, home) as (url, process):
            for _ in range(_WARM_SCRAPES):
                _seconds_of_scrape(url)
            before = _memory_bytes(process.pid)
            seconds = sorted(_seconds_of_scrape(url) for _ in range(SCRAPES))
            growth = _memory_bytes(process.pid) - before
        p95 = seconds[int(len(seconds) * 0.95)]
        rows += [
            Row(
                "metrics", f"{label}, p95 of {SCRAPES}", "ms", (p95 * 1000,), (), (AtMost(goal_seconds * 1000, False),)
            ),
            Row(
                "metrics",
                f"{count:,} runs, memory growth in {SCRAPES} scrapes",
                "MB",
                (growth / 1e6,),
                (),
                (AtMost(_MAX_GROWTH_BYTES / 1e6, False),),
            ),
        ]
    return rows


def _make_failed(home: Path) -> None:
    """Give some runs the status `failed`; in the metadata alone, which the list reads for an ended run."""
    runs = sorted((home / "artifacts" / "runs").iterdir())[:_UNACKNOWLEDGED]
    for folder in runs:
        file = folder / "metadata.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "status": "failed"}, indent=2) + "\n")
    time.sleep(2.5)  # the index does not store runs that changed a moment ago


@contextmanager
def _exporter(context: BenchmarkContext, home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of the metrics, and the process; it is ended after the block."""
    command: list[str | Path] = [context.tc, "metrics", "serve", "--port", "0", "--json", "--home", home]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise MeasurementError("tc metrics serve did not start")
            url: str = json.loads(line)["metrics"]
            ready = url.removesuffix("metrics") + "readyz"
            while not _is_ready(ready):
                time.sleep(0.01)
            yield url, process
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def _seconds_of_scrape(url: str) -> float:
    began_s = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    seconds = time.perf_counter() - began_s
    if body.count(b"opslab_run_info{") < _UNACKNOWLEDGED:
        raise MeasurementError("a scrape does not show the unacknowledged runs")
    return seconds


def _memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024

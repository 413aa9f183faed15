"""Verification of a large run, compared with `sha256sum` of its files; memory for reading a long journal."""

import json
import shutil
from pathlib import Path

from benchmarks.context import SPEC_HEAD, BenchmarkContext, document
from benchmarks.process import MeasurementError, Sample, run
from benchmarks.table import AtMost, Row, alternate

REPEAT = 5
RUN_BARS = 290_000
"""Number of bars for a run of 1 GB with order_lifecycle_demo."""
JOURNAL_LINES = 5_000_000
DATASET = "bench-orders"
_SPEC = f"""\
{SPEC_HEAD}strategy: {{name: order_lifecycle_demo}}
data: {{dataset: bench-orders}}
"""


def verify(context: BenchmarkContext) -> list[Row]:
    home = context.work / "large-run-home"
    folder = _make_run(context, home)
    listed = [file["path"] for file in json.loads((folder / "manifest.json").read_text())["files"]]
    size = sum((folder / path).stat().st_size for path in listed)

    def lab() -> Sample:
        return run([context.tc, "run", "verify", "large", "--home", home], context.work)

    def yardstick() -> Sample:
        return run(["sha256sum", *listed], folder)

    lab(), yardstick()  # fills the page cache
    pairs = alternate(context.repeat or REPEAT, lab, yardstick)
    label = f"verify a run of {size / 1e6:,.0f} MB"
    return [
        pairs.wall("verify", label, AtMost(1.3)),
        pairs.cpu("verify", label),
        pairs.peak("verify", label, AtMost(100, of_ratio=False)),
    ]


def journal(context: BenchmarkContext) -> list[Row]:
    """The complete journal alone: the state derived from it, and its chain verified from end to end."""
    home = context.work / "long-journal-home"
    folder = _make_journal(context, home)
    size = (folder / "journal.jsonl").stat().st_size
    label = f"a journal of {JOURNAL_LINES:,} lines, {size / 1e6:,.0f} MB"

    def show_run() -> Sample:
        return run([context.tc, "run", "show", "long", "--home", home], context.work)

    def verify_run() -> Sample:
        script = 'code=0; "$@" >/dev/null || code=$?; test $code = 3'  # exit 3: there is no seal
        return run(["sh", "-c", script, "sh", context.tc, "run", "verify", "long", "--home", home], context.work)

    def yardstick() -> Sample:
        return run(["sha256sum", folder / "journal.jsonl"], context.work)

    repeat = context.repeat or 2
    state, chain = alternate(repeat, show_run, yardstick), alternate(repeat, verify_run, yardstick)
    return [
        state.wall("journal", f"state from {label}"),
        state.peak("journal", f"state from {label}", AtMost(100, of_ratio=False)),
        chain.wall("journal", f"chain of {label}"),
        chain.peak("journal", f"chain of {label}", AtMost(100, of_ratio=False)),
    ]


def _make_run(context: BenchmarkContext, home: Path) -> Path:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    context.note(f"making a run of {RUN_BARS:,} bars with orders")
    csv, spec = home / "candles.csv", home / "spec.yaml"
    spec.write_text(_SPEC)
    run([context.python, context.program("make_candles"), csv, str(RUN_BARS)], context.work)
    run([context.tc, "data", "import", csv, "--dataset", DATASET, "--home", home], context.work)
    run([context.tc, "run", "backtest", "--spec", spec, "--run-id", "large", "--home", home], context.work)
    return home / "artifacts" / "runs" / "large"


def _make_journal(context: BenchmarkContext, home: Path) -> Path:
    """Journal of an unfinished run: started by a real one, extended, and without metadata."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    context.note(f"making a journal of {JOURNAL_LINES:,} lines")
    run([context.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], context.work)
    spec = context.spec("btcusdt-sample")
    run([context.tc, "run", "init", "--spec", spec, "--run-id", "long", "--home", home], context.work)
    folder = home / "artifacts" / "runs" / "long"
    run([context.python, context.program("long_journal"), folder, str(JOURNAL_LINES)], context.work)
    (folder / "metadata.json").unlink()
    sample = run([context.tc, "run", "show", "long", "--json", "--home", home], context.work)
    if document(sample)["status"] != "interrupted":
        raise MeasurementError("the long journal is not read as that of an interrupted run")
    return folder

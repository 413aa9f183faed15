"""Verifying a large run against what `sha256sum` takes for its files; reading a long journal in little memory."""

import json
import shutil
from pathlib import Path

from benchmarks.process import CouldNotMeasure, Sample, run
from benchmarks.scene import Scene, document
from benchmarks.table import AtMost, Row, in_turn

REPEAT = 5
RUN_BARS = 290_000
"""As many as give a run of 1 GB with order_lifecycle_demo."""
JOURNAL_LINES = 5_000_000
DATASET = "bench-orders"
_SPEC = """\
spec_version: v1
mode: backtest
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy: {name: order_lifecycle_demo}
data: {dataset: bench-orders}
"""


def verify(scene: Scene) -> list[Row]:
    home = scene.work / "large-run-home"
    folder = _make_run(scene, home)
    listed = [file["path"] for file in json.loads((folder / "manifest.json").read_text())["files"]]
    size = sum((folder / path).stat().st_size for path in listed)

    def ours() -> Sample:
        return run([scene.tc, "run", "verify", "large", "--home", home], scene.work)

    def yardstick() -> Sample:
        return run(["sha256sum", *listed], folder)

    ours(), yardstick()  # in the page cache from here on
    pairs = in_turn(scene.repeat or REPEAT, ours, yardstick)
    what = f"verify a run of {size / 1e6:,.0f} MB"
    return [
        pairs.wall("verify", what, AtMost(1.3)),
        pairs.cpu("verify", what),
        pairs.peak("verify", what, AtMost(100, of_ratio=False)),
    ]


def journal(scene: Scene) -> list[Row]:
    """The journal alone, whole: its state made anew from it, and its chain walked from end to end."""
    home = scene.work / "long-journal-home"
    folder = _make_journal(scene, home)
    size = (folder / "journal.jsonl").stat().st_size
    what = f"a journal of {JOURNAL_LINES:,} lines, {size / 1e6:,.0f} MB"

    def shown() -> Sample:
        return run([scene.tc, "run", "show", "long", "--home", home], scene.work)

    def walked() -> Sample:
        script = 'code=0; "$@" >/dev/null || code=$?; test $code = 3'  # there is no seal, and it says so
        return run(["sh", "-c", script, "sh", scene.tc, "run", "verify", "long", "--home", home], scene.work)

    def yardstick() -> Sample:
        return run(["sha256sum", folder / "journal.jsonl"], scene.work)

    repeat = scene.repeat or 2
    show, walk = in_turn(repeat, shown, yardstick), in_turn(repeat, walked, yardstick)
    return [
        show.wall("journal", f"state from {what}"),
        show.peak("journal", f"state from {what}", AtMost(100, of_ratio=False)),
        walk.wall("journal", f"chain of {what}"),
        walk.peak("journal", f"chain of {what}", AtMost(100, of_ratio=False)),
    ]


def _make_run(scene: Scene, home: Path) -> Path:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    scene.tell(f"making a run of {RUN_BARS:,} bars with orders")
    csv, spec = home / "candles.csv", home / "spec.yaml"
    spec.write_text(_SPEC)
    run([scene.python, scene.program("make_candles"), csv, str(RUN_BARS)], scene.work)
    run([scene.tc, "data", "import", csv, "--dataset", DATASET, "--home", home], scene.work)
    run([scene.tc, "run", "backtest", "--spec", spec, "--run-id", "large", "--home", home], scene.work)
    return home / "artifacts" / "runs" / "large"


def _make_journal(scene: Scene, home: Path) -> Path:
    """Of a run that was on its way: begun by a real one, lengthened, and without metadata."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    scene.tell(f"making a journal of {JOURNAL_LINES:,} lines")
    run([scene.tc, "data", "prepare", "--dataset", "btcusdt-sample", "--home", home], scene.work)
    spec = scene.spec("btcusdt-sample")
    run([scene.tc, "run", "init", "--spec", spec, "--run-id", "long", "--home", home], scene.work)
    folder = home / "artifacts" / "runs" / "long"
    run([scene.python, scene.program("long_journal"), folder, str(JOURNAL_LINES)], scene.work)
    (folder / "metadata.json").unlink()
    sample = run([scene.tc, "run", "show", "long", "--json", "--home", home], scene.work)
    if document(sample)["status"] != "interrupted":
        raise CouldNotMeasure("the long journal is not read as that of a run that was broken off")
    return folder

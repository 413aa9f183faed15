"""Death of the `recover` of a paper run at any step: the next one completes it, with the undisturbed results."""

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from opslab.context import Context
from opslab.errors import LabError
from opslab.lab.context import context_of
from opslab.lab.run.recover import recover
from opslab.lab.run.verify import verify
from opslab.model.primitives.ids import RunId
from opslab.settings import Settings
from tests.breaking.aftermath import FINAL, folder_entries
from tests.breaking.chain import ENDINGS, chain_faults, journal_bytes, lifecycle
from tests.breaking.context import RUN, ExperimentContext
from tests.breaking.deaths import KILLED, count_steps, dies_at_step, evenly_spread
from tests.breaking.trial import Attempt, Trial
from tests.drivers.load import stretched
from tests.drivers.paper_run import PaperRun
from tests.drivers.processes import orphans_after
from tests.drivers.running_ledger import has_position_and_orders
from tests.drivers.tc import Tc, wait_until

FULL = 400
"""Spread evenly over all steps."""
SAMPLE = "btcusdt-sample"
_GONE_SECONDS = 25.0
_WAIT_SECONDS = 300.0
_BARS = 8
_KEPT = ("orders", "fills", "positions", "partial-bars")


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    base = context.work / "paper-recover"
    dead = _dead(context, base / "of-dead")
    undisturbed = _copy(dead, base / "of-done")
    _recover(undisturbed, lambda: None)
    counted = _copy(dead, base / "of-counted")
    steps = count_steps(partial(_recover, counted))
    for step in evenly_spread(range(steps + 1), context.trial_count(FULL)):
        yield Attempt(f"paper-recover-step-{step}", partial(_at_step, dead=dead, undisturbed=undisturbed, step=step))


def _dead(context: ExperimentContext, home: Path) -> Path:
    """A home with a run whose control was killed while it was trading, and whose venue has ended."""
    context.prepare_dataset(SAMPLE)
    shutil.rmtree(home, ignore_errors=True)
    tc = context.home_in(home)
    paper = {"speed": 240, "max_bars": 100}
    with PaperRun(tc, tc.spec(mode="paper", strategy="order_lifecycle_demo", paper=paper), RUN) as run:
        bars = run.folder / ".bars.jsonl.tmp"
        wait_until(lambda: bars.exists() and bars.read_bytes().count(b"\n") >= _BARS, "bars", _WAIT_SECONDS)
        wait_until(
            lambda: all(has_position_and_orders(home / "runtime" / "venues" / RUN)),
            "a position and an order",
            _WAIT_SECONDS,
        )
        run.process.kill()
        run.process.wait()
        assert not orphans_after(_GONE_SECONDS)
    (home / "data").unlink()
    return home


def _copy(home: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(home, to, symlinks=True))


def _recover(home: Path, _acknowledge: Callable[[], None]) -> None:
    recover(_context(home), RunId(RUN), None)


def _context(home: Path) -> Context:
    return context_of(Settings(home, "--home"))


def _at_step(trial: Trial, dead: Path, undisturbed: Path, step: int) -> None:
    home = _copy(dead, trial.folder / "home")
    code, _ = dies_at_step(partial(_recover, home), step)
    trial.observe("death at a step", "killed" if code == KILLED else f"none, exit {code}")
    trial.claim(code in (KILLED, 0), f"recover ended with {code} at step {step}")
    trial.observe("stage", _stage_of(home))
    started_s = time.monotonic()
    context, folder = _context(home), Tc(home).run_folder(RUN)
    try:
        action = recover(context, RunId(RUN), None).action
    except LabError as error:
        trial.claim(False, f"the next recover fails: {error.message}")
        return
    trial.observe("the next recover", action)
    trial.claim(time.monotonic() - started_s < stretched(_GONE_SECONDS), "the next recover takes too long")
    verification = verify(context, RunId(RUN), lambda _size: None)
    trial.claim(verification.verdict == "whole", f"verify afterwards: {verification.verdict}, {verification.message}")
    trial.claim(verification.status in FINAL, f"its status is {verification.status}")
    for fault in chain_faults(journal_bytes(folder)):
        trial.claim(False, fault)
    endings = [event["event"] for event in lifecycle(journal_bytes(folder)) if event["event"] in ENDINGS]
    trial.claim(endings == ["run_interrupted"], f"the journal has the ends {endings}")
    hidden = [name for name in folder_entries(folder) if Path(name).name.startswith(".")]
    trial.claim(not hidden, f"temporary files are left: {hidden}")
    _claim_same_results(trial, folder, Tc(undisturbed).run_folder(RUN))
    for name in ("venues", "work", "live"):
        remaining = [path.name for path in (home / "runtime" / name).iterdir()]
        trial.claim(not remaining, f"runtime/{name} has {remaining}")


def _stage_of(home: Path) -> str:
    """Stage that the dead recover had reached."""
    folder, venue = Tc(home).run_folder(RUN), home / "runtime" / "venues" / RUN
    if (folder / "manifest.json").exists():
        return "sealed"
    if any(event["event"] in ENDINGS for event in lifecycle(journal_bytes(folder))):
        return "ended"
    if not venue.exists():
        return "venue folder removed"
    return "ledger kept" if (folder / "venue" / "ledger.jsonl").exists() else "unchanged"


def _claim_same_results(trial: Trial, folder: Path, reference: Path) -> None:
    for name in _KEPT:
        rows, reference_rows = ((run_folder / f"{name}.jsonl").read_bytes() for run_folder in (folder, reference))
        trial.claim(rows == reference_rows, f"{name}.jsonl differs from that of an undisturbed recover")
    ledgers = [(run_folder / "venue" / "ledger.jsonl").read_bytes() for run_folder in (folder, reference)]
    trial.claim(ledgers[0] == ledgers[1], "the ledger has changed")
    ends: list[object] = []
    for run_folder in (folder, reference):
        payload = lifecycle(journal_bytes(run_folder))[-1]["payload"]
        ends.append({name: value for name, value in payload.items() if name != "recovered_at"})
    trial.claim(ends[0] == ends[1], f"the end is recorded as {ends[0]}, expected {ends[1]}")

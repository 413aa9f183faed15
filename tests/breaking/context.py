"""Shared state of experiments: datasets prepared once, homes that use them, and the profile of an undisturbed run."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.breaking.aftermath import Expected
from tests.breaking.chain import journal_bytes
from tests.breaking.trial import Attempt, Trial
from tests.drivers.processes import Process, engine_of, runs_for, start, wait_for_engine
from tests.drivers.tc import Tc, long_candles

REAL = Path(__file__).parents[3] / "shared" / "data" / "btcusdt"
RUN = "r1"
OVERSHOOT = 1.05
"""Kill times are spread over the whole duration of a run and a little more."""
_EARLY_SHARE = 0.2
_LONG_ROWS = {"full": 2_000_000, "small": 100_000}
_TINY_ROWS = 30
_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class RunKind:
    """A run to disturb: a scenario on a dataset."""

    scenario: str
    dataset: str
    end: str | None = None
    """Use only the candles before this time."""

    def spec(self, folder: Path) -> str:
        """Write its spec into a folder; return the path."""
        data: dict[str, Any] = {"data": {"dataset": self.dataset, "end": self.end}} if self.end else {}
        return Tc(folder).spec(strategy=self.scenario, dataset=self.dataset, **data)

    @property
    def title(self) -> str:
        return f"{self.scenario}-{self.dataset}"


SMOKE_TINY = RunKind("ops_smoke_demo", "tiny")
ORDERS_TINY = RunKind("order_lifecycle_demo", "tiny")
ORDERS_SAMPLE = RunKind("order_lifecycle_demo", "btcusdt-sample")


@dataclass(frozen=True, slots=True)
class RunProfile:
    """Measured times (s from the start) and sizes of an undisturbed run."""

    seconds: float
    engine_from: float
    engine_to: float
    size_bytes: int
    """Total of its files."""
    largest_bytes: int
    expected: Expected


@dataclass(frozen=True, slots=True)
class ExperimentContext:
    """Parameters of one experiment. Contexts of one program call compare as equal, whatever `count`."""

    work: Path
    seed: int
    count: int | None = field(compare=False)
    """Requested trials; None for the full number."""
    workers: int
    scale: str
    """`full`, or `small` for runs of a second."""
    note: Callable[[str], None]

    @property
    def candles(self) -> Path:
        """Home whose datasets all other homes use."""
        return self.work / "candles"

    @property
    def smoke(self) -> RunKind:
        """A run with bars only, for some seconds."""
        self.prepare_dataset("long")
        return RunKind("ops_smoke_demo", "long")

    @property
    def orders(self) -> RunKind:
        """A run that writes to its journal all the time, for some seconds."""
        if self.scale == "small":
            self.prepare_dataset("btcusdt-sample")
            return RunKind("order_lifecycle_demo", "btcusdt-sample", "2024-01-02T00:00Z")
        name = "real" if any(REAL.glob("*.csv")) else "btcusdt-sample"
        self.prepare_dataset(name)
        return RunKind("order_lifecycle_demo", name)

    def trial_count(self, full: int) -> int:
        return full if self.count is None else self.count

    def prepare_dataset(self, dataset: str) -> None:
        """Create a dataset unless an earlier call with the same work folder created it."""
        if (self.candles / "data" / "datasets" / dataset).is_dir():
            return
        self.note(f"preparing dataset {dataset}")
        self.candles.mkdir(parents=True, exist_ok=True)
        tc = Tc(self.candles)
        if dataset == "btcusdt-sample":
            tc.ok("data", "prepare", "--dataset", dataset)
        elif dataset == "real":
            tc.ok("data", "import", *map(str, sorted(REAL.glob("*.csv"))), "--dataset", dataset)
        else:
            rows = _TINY_ROWS if dataset == "tiny" else _LONG_ROWS[self.scale]
            csv = long_candles(self.candles / f"{dataset}.csv", rows)
            tc.ok("data", "import", str(csv), "--dataset", dataset)
            csv.unlink()

    def home(self, trial: Trial) -> Tc:
        """Create a home for a trial, with all datasets."""
        return self.home_in(trial.folder / "home")

    def home_in(self, folder: Path) -> Tc:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").symlink_to(self.candles / "data")
        return Tc(folder)


@cache
def undisturbed_profile(context: ExperimentContext, kind: RunKind) -> RunProfile:
    """Run a kind undisturbed, as many runs in parallel as there are workers, and measure one.

    In the small scale one run: few trials need no exact times.
    """
    context.prepare_dataset(kind.dataset)
    context.note(f"measuring {kind.title} undisturbed")
    base = context.work / "undisturbed" / kind.title
    shutil.rmtree(base, ignore_errors=True)
    parallel = 1 if context.scale == "small" else context.workers
    homes = [context.home_in(base / str(number)) for number in range(parallel)]
    started_s = time.monotonic()
    running = [
        start(home, home.home / "tc", "run", "backtest", "--spec", kind.spec(home.home), "--run-id", RUN)
        for home in homes
    ]
    engine_from = engine_to = 0.0
    while running[0].poll() is None:
        if engine_of(running[0].pid):
            engine_to = time.monotonic() - started_s
            engine_from = engine_from or engine_to
        time.sleep(_POLL_SECONDS)
    seconds = time.monotonic() - started_s
    for process in running:
        process.wait()
    result = _profile_of(homes[0], seconds, engine_from, engine_to)
    shutil.rmtree(base)
    return result


def _profile_of(tc: Tc, seconds: float, engine_from: float, engine_to: float) -> RunProfile:
    metadata = tc.json("run", "show", RUN)
    assert metadata["status"] == "completed", metadata
    assert journal_bytes(tc.run_folder(RUN))
    sizes = [path.stat().st_size for path in tc.run_folder(RUN).rglob("*") if path.is_file()]
    expected = Expected(metadata["result_digest"])
    return RunProfile(seconds, engine_from, engine_to, sum(sizes), max(sizes), expected)


@dataclass(frozen=True, slots=True)
class TrialSlot:
    """Trial `number` of `count` trials of a kind of run."""

    context: ExperimentContext
    kind: RunKind
    profile: RunProfile
    number: int
    count: int

    def reach(self, trial: Trial, process: Process) -> bool:
        """Wait for this trial's kill time of a `tc` process; return whether the process is still alive."""
        if self.number == 0:
            self.reach_in_engine(trial, process)
            return process.poll() is None
        return runs_for(process, self._moment(trial, self.profile.seconds))

    def reach_in_engine(self, trial: Trial, process: Process) -> int | None:
        """Wait for the engine child and for this trial's kill time of it; return its pid, None without an engine."""
        engine = wait_for_engine(process)
        seconds = self.profile.engine_to - self.profile.engine_from
        runs_for(process, _EARLY_SHARE * seconds if self.number == 0 else self._moment(trial, seconds))
        return engine

    def _moment(self, trial: Trial, seconds: float) -> float:
        """Random time within this trial's equal part of the duration (plus a little): all trials are spread evenly.

        The first trial uses a time at which the engine certainly runs, so that a small number of trials kills one, too.
        """
        return (self.number + trial.rng.random()) / self.count * seconds * OVERSHOOT


def trial_slots(
    name: str, context: ExperimentContext, full: int, run: Callable[..., None]
) -> Iterator[tuple[Attempt, TrialSlot]]:
    """Divide trials among a run that only counts bars and one that writes all the time; `run` gets trial and slot."""
    kinds = (context.smoke, context.orders)
    for index, kind in enumerate(kinds):
        count = (context.trial_count(full) + index) // len(kinds)
        profile = undisturbed_profile(context, kind) if count else None
        for number in range(count):
            assert profile is not None
            slot = TrialSlot(context, kind, profile, number, count)
            yield Attempt(f"{name}-{kind.title}-{number}", partial(run, slot=slot)), slot

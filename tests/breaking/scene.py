"""What experiments share: datasets that are prepared once, homes that use them, and what an undisturbed run is like."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.breaking.aftermath import Expected
from tests.breaking.chain import journal_bytes
from tests.breaking.processes import Process, engine_of, start, stays_for, wait_for_engine
from tests.breaking.trial import Attempt, Trial
from tests.drivers.tc import Tc, long_candles

REAL = Path(__file__).parents[3] / "shared" / "data" / "btcusdt"
RUN = "r1"
LATEST = 1.05
"""Moments are spread over the whole life of a run and a little more."""
_EARLY = 0.2
_LONG_ROWS = {"full": 2_000_000, "small": 100_000}
_TINY_ROWS = 30
_WATCH_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Kind:
    """A run to break: which scenario on which candles."""

    scenario: str
    dataset: str
    end: str | None = None
    """Use the candles before it only."""

    def spec(self, folder: Path) -> str:
        """Write its spec into a folder; its path."""
        data: dict[str, Any] = {"data": {"dataset": self.dataset, "end": self.end}} if self.end else {}
        return Tc(folder).spec(strategy=self.scenario, dataset=self.dataset, **data)

    @property
    def title(self) -> str:
        return f"{self.scenario}-{self.dataset}"


SMOKE_TINY = Kind("ops_smoke_demo", "tiny")
ORDERS_TINY = Kind("order_lifecycle_demo", "tiny")
ORDERS_SAMPLE = Kind("order_lifecycle_demo", "btcusdt-sample")


@dataclass(frozen=True, slots=True)
class Life:
    """An undisturbed run, watched: seconds from its start, while as many ran beside it as will in the trials."""

    seconds: float
    engine_from: float
    engine_to: float
    size_bytes: int
    """All its files."""
    largest_bytes: int
    expected: Expected


@dataclass(frozen=True, slots=True)
class Scene:
    """What one experiment of a call of the program works with. Those of one call count as equal, whatever `count`."""

    work: Path
    seed: int
    count: int | None = field(compare=False)
    """Trials wanted; None for the full number."""
    workers: int
    scale: str
    """`full`, or `small` for runs of a second."""
    note: Callable[[str], None]

    @property
    def candles(self) -> Path:
        """The home whose datasets all others use."""
        return self.work / "candles"

    @property
    def smoke(self) -> Kind:
        """Bars and nothing else, for some seconds."""
        self.need("long")
        return Kind("ops_smoke_demo", "long")

    @property
    def orders(self) -> Kind:
        """A journal that is written to all the time, for some seconds."""
        if self.scale == "small":
            self.need("btcusdt-sample")
            return Kind("order_lifecycle_demo", "btcusdt-sample", "2024-01-02T00:00Z")
        name = "real" if any(REAL.glob("*.csv")) else "btcusdt-sample"
        self.need(name)
        return Kind("order_lifecycle_demo", name)

    def wanted(self, full: int) -> int:
        return full if self.count is None else self.count

    def need(self, dataset: str) -> None:
        """Make a dataset unless an earlier call with the same work folder did."""
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
        """A new home for a trial, with all datasets."""
        return self.home_in(trial.folder / "home")

    def home_in(self, folder: Path) -> Tc:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").symlink_to(self.candles / "data")
        return Tc(folder)


@cache
def life(scene: Scene, kind: Kind) -> Life:
    """Let runs of a kind go undisturbed, as many at once as there are workers, and watch one."""
    scene.need(kind.dataset)
    scene.note(f"watching {kind.title} undisturbed")
    place = scene.work / "undisturbed" / kind.title
    shutil.rmtree(place, ignore_errors=True)
    homes = [scene.home_in(place / str(number)) for number in range(scene.workers)]
    began = time.monotonic()
    running = [
        start(home, home.home / "tc", "run", "backtest", "--spec", kind.spec(home.home), "--run-id", RUN)
        for home in homes
    ]
    engine_from = engine_to = 0.0
    while running[0].poll() is None:
        if engine_of(running[0].pid):
            engine_to = time.monotonic() - began
            engine_from = engine_from or engine_to
        time.sleep(_WATCH_SECONDS)
    seconds = time.monotonic() - began
    for process in running:
        process.wait()
    found = _life(homes[0], seconds, engine_from, engine_to)
    shutil.rmtree(place)
    return found


def _life(tc: Tc, seconds: float, engine_from: float, engine_to: float) -> Life:
    shown = tc.json("run", "show", RUN)
    assert shown["status"] == "completed", shown
    assert journal_bytes(tc.run_folder(RUN))
    sizes = [path.stat().st_size for path in tc.run_folder(RUN).rglob("*") if path.is_file()]
    expected = Expected(shown["result_digest"])
    return Life(seconds, engine_from, engine_to, sum(sizes), max(sizes), expected)


@dataclass(frozen=True, slots=True)
class Turn:
    """The number-th of `count` trials of a kind of run."""

    scene: Scene
    kind: Kind
    watched: Life
    number: int
    count: int

    def reach(self, trial: Trial, process: Process) -> bool:
        """Wait for this trial's moment in the life of a `tc`; whether it still lives then."""
        if self.number == 0:
            self.reach_in_engine(trial, process)
            return process.poll() is None
        return stays_for(process, self._moment(trial, self.watched.seconds))

    def reach_in_engine(self, trial: Trial, process: Process) -> int | None:
        """Wait for its engine child, and for this trial's moment in its life; its pid, None if there was none."""
        engine = wait_for_engine(process)
        seconds = self.watched.engine_to - self.watched.engine_from
        stays_for(process, _EARLY * seconds if self.number == 0 else self._moment(trial, seconds))
        return engine

    def _moment(self, trial: Trial, seconds: float) -> float:
        """Random within its own equal part of the time and a little more: all together are spread evenly.

        The first trial of all goes to where the engine surely runs, so that a few trials see a run broken, too.
        """
        return (self.number + trial.rng.random()) / self.count * seconds * LATEST


def turns(name: str, scene: Scene, full: int, run: Callable[..., None]) -> Iterator[tuple[Attempt, Turn]]:
    """Trials divided among a run that only counts bars and one that writes all the time; `run` gets trial and turn."""
    kinds = (scene.smoke, scene.orders)
    for place, kind in enumerate(kinds):
        count = (scene.wanted(full) + place) // len(kinds)
        watched = life(scene, kind) if count else None
        for number in range(count):
            assert watched is not None
            turn = Turn(scene, kind, watched, number, count)
            yield Attempt(f"{name}-{kind.title}-{number}", partial(run, turn=turn)), turn

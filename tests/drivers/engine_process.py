"""The engine child of a paper run as a test drives it: by its plan, its words and signals, against a served venue."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from opslab.model.messages.engine_messages import EngineLimits, LivePlan, ScenarioPlan, UserStrategyPlan
from opslab.model.messages.paper_messages import FeedName, OnStop
from opslab.model.messages.venue_messages import VenueEndpoints
from opslab.model.primitives.instant import close_ns
from opslab.model.run.metadata import Failure
from opslab.runs.processes.child_process import ENGINE_COMMAND, ChildProcess
from opslab.system import SystemClock
from tests.drivers.venue_process import INSTRUMENT, SYMBOL, VenueProcess

WAIT_SECONDS = 200.0
Frame = dict[str, Any]
SILENT: dict[FeedName, float] = {"bars": 60.0, "quotes": 60.0, "trades": 60.0}
"""For those who do not look at feeds: a busy machine is no silent feed."""


class PacedVenue(VenueProcess):
    """At full speed, and each minute waits for word that the one before was handled."""

    def __init__(self, home: Path, folder: Path, *, minutes: int, ticks: int) -> None:
        super().__init__(home, folder, speed=None, ticks=ticks, max_bars=minutes)
        self._plan = self._plan.model_copy(update={"pace": "bar_done"})

    def handled(self, bars: int) -> None:
        assert self._child is not None
        self._child.send({"bars_done": bars})


def closes(venue: VenueProcess, rows: int) -> list[int]:
    """`ts_event` of the bars of the venue's first candles."""
    return [close_ns(candle.open_ms) for candle in islice(venue.candles(), rows)]


class EngineProcess:
    """`frames` is everything that it told, in order, with when it came; `with` leaves no process behind."""

    def __init__(
        self,
        venue: VenueProcess,
        log: Path,
        *,
        scenario: str = "order_lifecycle_demo",
        own: UserStrategyPlan | None = None,
        command: Sequence[str] = ENGINE_COMMAND,
        rows: int = 1_000,
        number: int = 1,
        on_stop: OnStop = "flatten",
        silent_after: dict[FeedName, float] = SILENT,
        endpoints: VenueEndpoints | None = None,
        acknowledges_bars: bool = False,
        max_notional: str = "100000",
        on_frame: Callable[[Frame], None] = lambda _frame: None,
    ) -> None:
        self.frames: list[tuple[float, Frame]] = []
        """With when each came, on the monotonic clock."""
        self.began = time.monotonic()
        self._log = log
        self._on_frame = on_frame
        self._news = threading.Condition()
        self._over = self._closed = False
        plan = LivePlan(
            run_id="contract",
            strategy=own or ScenarioPlan(name=scenario, version="v1"),
            symbol=SYMBOL,
            bar_type=INSTRUMENT.bar_type,
            endpoints=endpoints or venue.endpoints,
            rows=rows,
            last_close_ns=closes(venue, rows)[-1],
            number=number,
            on_stop=on_stop,
            silent_after_seconds=silent_after,
            acknowledges_bars=acknowledges_bars,
            limits=EngineLimits(max_notional_per_order=max_notional, max_orders_per_second=100),
            order_events=True,
        )
        self._child = ChildProcess("engine", plan, log, SystemClock(), command)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._closed:
            self._child.kill()
            self._reader.join()
            self._child.close()

    def say(self, **word: Any) -> None:
        self._child.send(word)

    def signal(self, number: signal.Signals) -> None:
        self._child._signal(number)

    def let_go(self) -> None:
        """Close its standard input, as the death of control does."""
        pipe = self._child._child.stdin
        assert pipe
        pipe.close()

    def kill(self) -> None:
        """kill -9; comes back when it is gone and all that it told is here."""
        self._child.kill()
        self._reader.join()

    def end(self, seconds: float = WAIT_SECONDS) -> Failure | None:
        """Comes back when it has ended by itself; why it died, if it did."""
        self._reader.join(seconds)
        assert not self._reader.is_alive(), f"it did not end within {seconds} s: {self.told()[-3:]}"
        self._child.close()
        self._closed = True
        return self._child.failure(str)

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def told(self, key: str | None = None) -> list[Any]:
        """What it told under that key; every frame when there is none."""
        frames = [frame for _, frame in list(self.frames)]
        return frames if key is None else [frame[key] for frame in frames if key in frame]

    def events(self, name: str) -> list[Frame]:
        return [frame["payload"] for frame in self.told() if frame.get("event") == name]

    def wait(self, key: str, fits: Callable[[Any], bool] = lambda _found: True, seconds: float = WAIT_SECONDS) -> Any:
        """The first that fits, as soon as it is there."""
        return self._wait(lambda frame: key in frame and fits(frame[key]), key, seconds)[1][key]

    def wait_event(
        self, name: str, fits: Callable[[Frame], bool] = lambda _found: True, seconds: float = WAIT_SECONDS
    ) -> Frame:
        found = self._wait(lambda frame: frame.get("event") == name and fits(frame["payload"]), name, seconds)
        payload: Frame = found[1]["payload"]
        return payload

    def when(self, key: str, fits: Callable[[Any], bool] = lambda _found: True) -> float:
        """When it told so for the first time, on the monotonic clock."""
        return self._wait(lambda frame: key in frame and fits(frame[key]), key, WAIT_SECONDS)[0]

    def _wait(self, fits: Callable[[Frame], bool], what: str, seconds: float) -> tuple[float, Frame]:
        deadline = time.monotonic() + seconds
        seen = 0
        with self._news:
            while True:
                for came in self.frames[seen:]:
                    if fits(came[1]):
                        return came
                seen = len(self.frames)
                left = deadline - time.monotonic()
                if self._over or left <= 0:
                    why = "it has ended" if self._over else f"waited {seconds} s"
                    raise AssertionError(f"{why}, and it never told {what}: {self.told()[-3:]}\n{self.printed[-2000:]}")
                self._news.wait(left)

    def _read(self) -> None:
        for frames in self._child.messages():
            at = time.monotonic()
            with self._news:
                self.frames += [(at, frame) for frame in frames]
                self._news.notify_all()
            for frame in frames:
                self._on_frame(frame)
        with self._news:
            self._over = True
            self._news.notify_all()

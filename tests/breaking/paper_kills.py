"""kill -9 of the engine of a paper run, and of its control, which leaves engine and venue to end by themselves.

Of the engine: a new one takes over what the venue has, and nothing is done twice. Of control: the account is left as
`on_stop` wants within a bounded time, nothing lives on, and the run is settled from the venue's ledger. Whatever a run
says of itself is held against that ledger.
"""

import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from tests.breaking.aftermath import Expected, said, settle
from tests.breaking.chain import ENDINGS, journal_bytes, lifecycle
from tests.breaking.processes import orphans_after
from tests.breaking.scene import RUN, Scene
from tests.breaking.trial import Attempt, Trial
from tests.drivers.paper_run import PaperRun, with_fields
from tests.drivers.running_ledger import open_now, transaction_times
from tests.drivers.tc import Tc, wait_until
from tests.oracles.engine_takeover import not_taken_over
from tests.oracles.paper_truth import ledger_of, untruths

FULL = 20
SAMPLE = "btcusdt-sample"
FLAT_SECONDS = 16.0
"""From the death of control: what the engine does not end, the venue does when 15 s are over."""
GONE_SECONDS = 25.0
"""Engine and venue give themselves 20 s."""
_STARTING_SECONDS = 1.2
_WRITING_SECONDS = 0.03
_ORDER_SECONDS = 0.004
_WAIT_SECONDS = 90.0
_RESTARTS = 2
_BLOCKS_AT = 3
_BLOCKS = Path(__file__).with_name("blocks.py")


@dataclass(slots=True)
class Play:
    """A paper run that goes on, in a home of its own."""

    trial: Trial
    run: PaperRun
    minute_seconds: float
    killed_ns: int = 0

    @property
    def rng(self) -> random.Random:
        return self.trial.rng

    @property
    def venue(self) -> Path:
        return self.run.tc.home / "runtime" / "venues" / RUN

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Also over when the run is."""
        wait_until(lambda: holds() or self.run.process.poll() is not None, what, _WAIT_SECONDS)

    def wait_for_trade(self) -> None:
        self.run.wait_for("order_event", lambda told: told["type"] == "OrderFilled")

    def wait_until_open(self) -> None:
        """A position and an open order."""
        self.wait(lambda: all(open_now(self.venue)), "a position and an open order")

    def stay(self, seconds: float) -> None:
        time.sleep(self.rng.uniform(0, seconds))

    def kill(self, *names: str) -> None:
        """Children of that name, and control when there is none such; at once, one after the other."""
        pids = [self.run.child(name) for name in names if name != "control"]
        self.trial.saw("open at the kill", _words(*open_now(self.venue)))
        self.killed_ns = time.time_ns()
        if "control" in names:
            self.run.process.kill()
        for pid in pids:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if "control" in names:
            self.run.process.wait()


Moment = Callable[[Play], None]
"""Comes back when it is there."""


def _attempts(name: str, scene: Scene, moments: Sequence[str], run: Callable[..., None]) -> Iterator[Attempt]:
    scene.need(SAMPLE)
    for number in range(scene.wanted(FULL)):
        moment = moments[number % len(moments)]
        work = partial(run, scene=scene, moment=moment, again=bool(number // len(moments) % 2))
        yield Attempt(f"{name}-{number}-{moment.replace(' ', '-')}", work, 240.0)


def _spec(tc: Tc, **paper: Any) -> str:
    return tc.spec(mode="paper", strategy="order_lifecycle_demo", paper=paper)


# Moments.


def _open(play: Play) -> None:
    play.wait_until_open()
    play.stay(0.6 * play.minute_seconds)


def _anywhere(play: Play) -> None:
    play.wait_for_trade()
    play.stay(5 * play.minute_seconds)


def _at_an_order(play: Play) -> None:
    play.wait_for_trade()
    play.stay(3 * play.minute_seconds)
    seen = play.run.events[-1]["seq"]
    play.run.wait_for("order_event", lambda told: told["type"] == "OrderSubmitted", after=seen)
    play.stay(_ORDER_SECONDS)


def _as_venue_starts(play: Play) -> None:
    play.run.wait_for_child("venue")
    play.stay(_STARTING_SECONDS)


def _as_engine_starts(play: Play) -> None:
    play.run.wait_for_child("engine")
    play.stay(_STARTING_SECONDS)


def _as_it_stops(play: Play) -> None:
    play.run.wait_for("gate_closed")
    play.stay(10 * _WRITING_SECONDS)


def _as_results_are_written(play: Play) -> None:
    play.wait((play.run.folder / "venue" / "ledger.jsonl").exists, "the ledger to be kept")
    play.stay(_WRITING_SECONDS)


def _as_venue_is_put_away(play: Play) -> None:
    play.wait(play.venue.exists, "the venue")
    play.wait(lambda: not play.venue.exists(), "the venue to be put away")
    play.stay(_WRITING_SECONDS / 3)


def _as_it_is_sealed(play: Play) -> None:
    play.wait(lambda: _has_ended(play.run.folder), "its end")
    play.stay(_WRITING_SECONDS)


def _has_ended(folder: Path) -> bool:
    return any(event["event"] in ENDINGS for event in lifecycle(journal_bytes(folder)))


def _in_a_handler(play: Play) -> None:
    """Its strategy holds the engine's thread, with a position, and does not let go of it any more."""
    bars = play.run.folder / ".bars.jsonl.tmp"
    play.wait(lambda: bars.exists() and bars.read_bytes().count(b"\n") >= _BLOCKS_AT, "the bar that is not handled")


# The engine.

ENGINE_MOMENTS: dict[str, Moment] = {
    "with position and orders": _open,
    "anywhere": _anywhere,
    "at an order": _at_an_order,
    "as it starts": _as_engine_starts,
    "again and again": _open,
}
_OPEN = "with position and orders"
_ENGINE_TURNS = (_OPEN, "anywhere", "again and again", _OPEN, "at an order", _OPEN, "as it starts")


def engine_attempts(scene: Scene) -> Iterator[Attempt]:
    yield from _attempts("paper-kill-engine", scene, _ENGINE_TURNS, _kill_engine)


def _kill_engine(trial: Trial, scene: Scene, moment: str, *, again: bool) -> None:
    """again: whether it is not the first time for that moment."""
    tc, speed = scene.home(trial), 120 if again else 60
    often = moment == "again and again"
    bars = 100 if often else 16
    spec = _spec(tc, speed=speed, max_bars=bars, restart="on_failure", max_restarts=_RESTARTS)
    with PaperRun(tc, spec, RUN) as run:
        play = Play(trial, run, 60 / speed)
        for number in range(1, _RESTARTS + 2 if often else 2):
            if number > 1:
                run.wait_for("paper_heartbeat", with_fields(engine=number))
            ENGINE_MOMENTS[moment](play)
            play.kill("engine")
            run.wait_for("engine_lost", with_fields(number=number))
        answer = run.end(_WAIT_SECONDS)
        trial.saw("moment", moment)
        trial.saw("exit", answer.code)
        trial.claim(answer.code == int(often), f"exits {answer.code}: {answer.err[-400:]}")
        _claim_told(trial, run, bars, often=often)


def _claim_told(trial: Trial, run: PaperRun, bars: int, *, often: bool) -> None:
    """The end of each engine, what was missed, and that nothing of all of it is untrue."""
    for wrong in untruths(run.tc, RUN, run.process.returncode):
        trial.claim(False, wrong)
    shown = run.tc.json("run", "show", RUN)
    facts = shown["paper"]
    status, kills = ("failed", _RESTARTS + 1) if often else ("completed", 1)
    trial.claim(shown["status"] == status, f"its status is {shown['status']}")
    ends = [engine["ended_by"] for engine in facts["engines"]]
    wanted = ["SIGKILL"] * kills + ([] if often else ["asked"])
    trial.claim(ends == wanted, f"its engines ended by {ends}")
    trial.claim(facts["restarts"] == len(wanted) - 1, f"{facts['restarts']} restarts of {len(wanted)} engines")
    trial.claim(facts["account_at_end"]["flat"], f"the account at the end is {facts['account_at_end']}")
    for lost in [event for event in run.events if event["event"] == "engine_lost"]:
        if lost["payload"]["number"] < len(wanted):
            for wrong in not_taken_over(run.folder, run.events, lost):
                trial.claim(False, wrong)
    if not often:
        seen, missed = facts["bars_seen"], facts["bars_missed"]
        trial.claim(seen + missed == bars, f"{seen} bars seen and {missed} missed of {bars}")
        trial.claim(facts["final_reconciliation"] == "ok", f"at last {facts['final_reconciliation']}")
        trial.saw("bars missed", missed)
    took = facts["latencies"]["restart_to_reconciled_seconds_max"]
    if trial.claim(took is not None, "nobody knows how long it took to be reconciled again"):
        trial.saw("reconciled again", _within(took))
    trial.saw("orders told and not at the venue", facts["orders_lost"])
    trial.saw("orders at the venue and not told", facts["orders_unknown"])


# Control.

CONTROL_MOMENTS: dict[str, tuple[Moment, tuple[str, ...]]] = {
    "with position and orders": (_open, ("control",)),
    "anywhere": (_anywhere, ("control",)),
    "as the venue starts": (_as_venue_starts, ("control",)),
    "as the engine starts": (_as_engine_starts, ("control",)),
    "as it stops": (_as_it_stops, ("control",)),
    "as results are written": (_as_results_are_written, ("control",)),
    "as the venue is put away": (_as_venue_is_put_away, ("control",)),
    "as it is sealed": (_as_it_is_sealed, ("control",)),
    "with its engine": (_open, ("control", "engine")),
    "beside a handler that blocks": (_in_a_handler, ("control",)),
}
"""With what is killed."""


def control_attempts(scene: Scene) -> Iterator[Attempt]:
    yield from _attempts("paper-kill-control", scene, tuple(CONTROL_MOMENTS), _kill_control)


def _kill_control(trial: Trial, scene: Scene, moment: str, *, again: bool) -> None:
    """again: whether it is not the first time for that moment; then nobody tries to settle the run at once."""
    tc = scene.home(trial)
    reach, victims = CONTROL_MOMENTS[moment]
    on_stop = trial.rng.choice(("flatten", "flatten", "leave"))
    with PaperRun(tc, _control_spec(tc, trial, moment, on_stop), RUN) as run:
        play = Play(trial, run, 60 / 120)
        reach(play)
        before = journal_bytes(run.folder)
        play.kill(*victims)
        trial.saw("moment", moment)
        if not run.folder.is_dir():
            return
        if not again:
            _claim_refused_or_done(trial, play)
        _claim_gone(trial, play)
        if settle(trial, tc, RUN, before, Expected(None)) == "initialized":
            return
        if not (run.folder / "report.md").exists():  # its owner died behind the seal: reports are derived
            tc.ok("run", "report", RUN)
        for wrong in untruths(tc, RUN, None):
            trial.claim(False, wrong)
        _claim_left(trial, play, on_stop)


def _control_spec(tc: Tc, trial: Trial, moment: str, on_stop: str) -> str:
    paper: dict[str, Any] = {"speed": 120, "max_bars": 12, "on_stop": on_stop}
    if moment != "beside a handler that blocks":
        return _spec(tc, **paper)
    paper |= {"max_bars": 100, "hang_after_seconds": 60}
    (trial.folder / "blocks.py").write_bytes(_BLOCKS.read_bytes())
    return tc.own_spec(trial.folder, {"path": "blocks:Blocks"}, mode="paper", paper=paper)


def _claim_refused_or_done(trial: Trial, play: Play) -> None:
    """At once: nobody takes the run from a venue that still sees to the account."""
    answer = play.run.tc("run", "recover", RUN)
    trial.saw("recover at once", answer.code)
    if answer.code == 5:
        trial.claim("its venue still lives" in answer.err, f"recover at once says {said(answer)}")
    else:
        trial.claim(answer.code == 0, f"recover at once exits {answer.code}: {said(answer)}")


def _claim_gone(trial: Trial, play: Play) -> None:
    left = orphans_after(GONE_SECONDS)
    seconds = (time.time_ns() - play.killed_ns) / NS_PER_SECOND
    trial.claim(not left, f"{left} live on {GONE_SECONDS:.0f} s after control")
    trial.saw("all gone", _within(seconds))


def _claim_left(trial: Trial, play: Play, on_stop: str) -> None:
    """As `on_stop` wants it, and in time."""
    kept = play.run.folder / "venue"
    if not (kept / "ledger.jsonl").exists():
        trial.saw("account", "never opened")
        return
    stands = ledger_of(play.run.folder)
    late = [
        seconds
        for text in transaction_times(kept)
        if (seconds := (parse_iso(text) - play.killed_ns) / NS_PER_SECOND) > 0
    ]
    if on_stop == "leave":
        trial.saw("account", "left")
        by_venue = [one for one in stands.orders.values() if str(one["client_order_id"]).startswith("opslab-flatten")]
        trial.claim(not by_venue, f"it was to be left, and was flattened: {by_venue}")
        return
    trial.saw("account", "flat" if not stands.open and not stands.position else "not flat")
    trial.claim(not stands.open and not stands.position, f"left with {stands.position} and {stands.open}")
    trial.claim(not late or late[-1] < FLAT_SECONDS, f"flat only {late[-1:]} s after control's death")
    trial.saw("flat", _within(late[-1]) if late else "before")


def _words(position: bool, orders: bool) -> str:
    return " and ".join(word for word, there in (("position", position), ("orders", orders)) if there) or "nothing"


def _within(seconds: float) -> str:
    return f"within {math.ceil(seconds * 5) / 5:g} s"

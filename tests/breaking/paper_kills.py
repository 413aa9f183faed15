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
from tests.breaking.aftermath import Expected, answer_text, settle
from tests.breaking.chain import ENDINGS, journal_bytes, lifecycle
from tests.breaking.context import RUN, ExperimentContext
from tests.breaking.trial import Attempt, Trial
from tests.drivers.paper_run import PaperRun, with_fields
from tests.drivers.processes import orphans_after
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
class KillSession:
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

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Also over when the run is."""
        wait_until(lambda: condition() or self.run.process.poll() is not None, what, _WAIT_SECONDS)

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
        self.trial.observe("open at the kill", _open_items(*open_now(self.venue)))
        self.killed_ns = time.time_ns()
        if "control" in names:
            self.run.process.kill()
        for pid in pids:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if "control" in names:
            self.run.process.wait()


Moment = Callable[[KillSession], None]
"""Comes back when it is there."""


def _attempts(name: str, context: ExperimentContext, moments: Sequence[str], run: Callable[..., None]) -> Iterator[Attempt]:
    context.prepare_dataset(SAMPLE)
    for number in range(context.trial_count(FULL)):
        moment = moments[number % len(moments)]
        attempt = partial(run, context=context, moment=moment, is_repeat=bool(number // len(moments) % 2))
        yield Attempt(f"{name}-{number}-{moment.replace(' ', '-')}", attempt, 240.0)


def _spec(tc: Tc, **paper: Any) -> str:
    return tc.spec(mode="paper", strategy="order_lifecycle_demo", paper=paper)


# Moments.


def _open(session: KillSession) -> None:
    session.wait_until_open()
    session.stay(0.6 * session.minute_seconds)


def _anywhere(session: KillSession) -> None:
    session.wait_for_trade()
    session.stay(5 * session.minute_seconds)


def _at_an_order(session: KillSession) -> None:
    session.wait_for_trade()
    session.stay(3 * session.minute_seconds)
    seen = session.run.events[-1]["seq"]
    session.run.wait_for("order_event", lambda told: told["type"] == "OrderSubmitted", after=seen)
    session.stay(_ORDER_SECONDS)


def _as_venue_starts(session: KillSession) -> None:
    session.run.wait_for_child("venue")
    session.stay(_STARTING_SECONDS)


def _as_engine_starts(session: KillSession) -> None:
    session.run.wait_for_child("engine")
    session.stay(_STARTING_SECONDS)


def _as_it_stops(session: KillSession) -> None:
    session.run.wait_for("gate_closed")
    session.stay(10 * _WRITING_SECONDS)


def _as_results_are_written(session: KillSession) -> None:
    session.wait((session.run.folder / "venue" / "ledger.jsonl").exists, "the ledger to be kept")
    session.stay(_WRITING_SECONDS)


def _as_venue_is_put_away(session: KillSession) -> None:
    session.wait(session.venue.exists, "the venue")
    session.wait(lambda: not session.venue.exists(), "the venue to be put away")
    session.stay(_WRITING_SECONDS / 3)


def _as_it_is_sealed(session: KillSession) -> None:
    session.wait(lambda: _has_ended(session.run.folder), "its end")
    session.stay(_WRITING_SECONDS)


def _has_ended(folder: Path) -> bool:
    return any(event["event"] in ENDINGS for event in lifecycle(journal_bytes(folder)))


def _in_a_handler(session: KillSession) -> None:
    """Its strategy holds the engine's thread, with a position, and does not let go of it any more."""
    bars = session.run.folder / ".bars.jsonl.tmp"
    session.wait(lambda: bars.exists() and bars.read_bytes().count(b"\n") >= _BLOCKS_AT, "the bar that is not handled")


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


def engine_attempts(context: ExperimentContext) -> Iterator[Attempt]:
    yield from _attempts("paper-kill-engine", context, _ENGINE_TURNS, _kill_engine)


def _kill_engine(trial: Trial, context: ExperimentContext, moment: str, *, is_repeat: bool) -> None:
    """again: whether it is not the first time for that moment."""
    tc, speed = context.home(trial), 120 if is_repeat else 60
    is_repeated_kill = moment == "again and again"
    bars = 100 if is_repeated_kill else 16
    spec = _spec(tc, speed=speed, max_bars=bars, restart="on_failure", max_restarts=_RESTARTS)
    with PaperRun(tc, spec, RUN) as run:
        session = KillSession(trial, run, 60 / speed)
        for number in range(1, _RESTARTS + 2 if is_repeated_kill else 2):
            if number > 1:
                run.wait_for("paper_heartbeat", with_fields(engine=number))
            ENGINE_MOMENTS[moment](session)
            session.kill("engine")
            run.wait_for("engine_lost", with_fields(number=number))
        answer = run.end(_WAIT_SECONDS)
        trial.observe("moment", moment)
        trial.observe("exit", answer.code)
        trial.claim(answer.code == int(is_repeated_kill), f"exits {answer.code}: {answer.err[-400:]}")
        _claim_engine_record(trial, run, bars, is_repeated_kill=is_repeated_kill)


def _claim_engine_record(trial: Trial, run: PaperRun, bars: int, *, is_repeated_kill: bool) -> None:
    """The end of each engine, what was missed, and that nothing of all of it is untrue."""
    for untruth in untruths(run.tc, RUN, run.process.returncode):
        trial.claim(False, untruth)
    metadata = run.tc.json("run", "show", RUN)
    facts = metadata["paper"]
    status, kills = ("failed", _RESTARTS + 1) if is_repeated_kill else ("completed", 1)
    trial.claim(metadata["status"] == status, f"its status is {metadata['status']}")
    ends = [engine["ended_by"] for engine in facts["engines"]]
    expected_ends = ["SIGKILL"] * kills + ([] if is_repeated_kill else ["stopped"])
    trial.claim(ends == expected_ends, f"its engines ended by {ends}")
    trial.claim(facts["restarts"] == len(expected_ends) - 1, f"{facts['restarts']} restarts of {len(expected_ends)} engines")
    trial.claim(facts["final_account"]["flat"], f"the account at the end is {facts['final_account']}")
    for loss in [event for event in run.events if event["event"] == "engine_lost"]:
        if loss["payload"]["engine_number"] < len(expected_ends):
            for untruth in not_taken_over(run.folder, run.events, loss):
                trial.claim(False, untruth)
    if not is_repeated_kill:
        seen, missed = facts["bars_seen"], facts["bars_missed"]
        trial.claim(seen + missed == bars, f"{seen} bars seen and {missed} missed of {bars}")
        trial.claim(facts["final_reconciliation"] == "ok", f"at last {facts['final_reconciliation']}")
        trial.observe("bars missed", missed)
    restart_seconds = facts["latencies"]["restart_to_reconciled_seconds_max"]
    if trial.claim(restart_seconds is not None, "nobody knows how long it took to be reconciled again"):
        trial.observe("reconciled again", _time_bucket(restart_seconds))
    trial.observe("orders told and not at the venue", facts["orders_lost"])
    trial.observe("orders at the venue and not told", facts["orders_unknown"])


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


def control_attempts(context: ExperimentContext) -> Iterator[Attempt]:
    yield from _attempts("paper-kill-control", context, tuple(CONTROL_MOMENTS), _kill_control)


def _kill_control(trial: Trial, context: ExperimentContext, moment: str, *, is_repeat: bool) -> None:
    """again: whether it is not the first time for that moment; then nobody tries to settle the run at once."""
    tc = context.home(trial)
    reach, victims = CONTROL_MOMENTS[moment]
    on_stop = trial.rng.choice(("flatten", "flatten", "leave"))
    with PaperRun(tc, _control_spec(tc, trial, moment, on_stop), RUN) as run:
        session = KillSession(trial, run, 60 / 120)
        reach(session)
        before = journal_bytes(run.folder)
        session.kill(*victims)
        trial.observe("moment", moment)
        if not run.folder.is_dir():
            return
        if not is_repeat:
            _claim_first_recover(trial, session)
        _claim_processes_ended(trial, session)
        if settle(trial, tc, RUN, before, Expected(None)) == "initialized":
            return
        if not (run.folder / "report.md").exists():  # its owner died behind the seal: reports are derived
            tc.ok("run", "report", RUN)
        for untruth in untruths(tc, RUN, None):
            trial.claim(False, untruth)
        _claim_account(trial, session, on_stop)


def _control_spec(tc: Tc, trial: Trial, moment: str, on_stop: str) -> str:
    paper: dict[str, Any] = {"speed": 120, "max_bars": 12, "on_stop": on_stop}
    if moment != "beside a handler that blocks":
        return _spec(tc, **paper)
    paper |= {"max_bars": 100, "hang_after_seconds": 60}
    (trial.folder / "blocks.py").write_bytes(_BLOCKS.read_bytes())
    return tc.own_spec(trial.folder, {"path": "blocks:Blocks"}, mode="paper", paper=paper)


def _claim_first_recover(trial: Trial, session: KillSession) -> None:
    """At once: nobody takes the run from a venue that still sees to the account."""
    answer = session.run.tc("run", "recover", RUN)
    trial.observe("recover at once", answer.code)
    if answer.code == 5:
        trial.claim("its venue still lives" in answer.err, f"recover at once says {answer_text(answer)}")
    else:
        trial.claim(answer.code == 0, f"recover at once exits {answer.code}: {answer_text(answer)}")


def _claim_processes_ended(trial: Trial, session: KillSession) -> None:
    left = orphans_after(GONE_SECONDS)
    seconds = (time.time_ns() - session.killed_ns) / NS_PER_SECOND
    trial.claim(not left, f"{left} live on {GONE_SECONDS:.0f} s after control")
    trial.observe("all gone", _time_bucket(seconds))


def _claim_account(trial: Trial, session: KillSession, on_stop: str) -> None:
    """As `on_stop` wants it, and in time."""
    venue_folder = session.run.folder / "venue"
    if not (venue_folder / "ledger.jsonl").exists():
        trial.observe("account", "never opened")
        return
    state = ledger_of(session.run.folder)
    late = [
        seconds
        for text in transaction_times(venue_folder)
        if (seconds := (parse_iso(text) - session.killed_ns) / NS_PER_SECOND) > 0
    ]
    if on_stop == "leave":
        trial.observe("account", "left")
        by_venue = [order for order in state.orders.values() if str(order["client_order_id"]).startswith("opslab-flatten")]
        trial.claim(not by_venue, f"it was to be left, and was flattened: {by_venue}")
        return
    trial.observe("account", "flat" if not state.open and not state.position else "not flat")
    trial.claim(not state.open and not state.position, f"left with {state.position} and {state.open}")
    trial.claim(not late or late[-1] < FLAT_SECONDS, f"flat only {late[-1:]} s after control's death")
    trial.observe("flat", _time_bucket(late[-1]) if late else "before")


def _open_items(position: bool, orders: bool) -> str:
    return " and ".join(word for word, is_open in (("position", position), ("orders", orders)) if is_open) or "nothing"


def _time_bucket(seconds: float) -> str:
    return f"within {math.ceil(seconds * 5) / 5:g} s"

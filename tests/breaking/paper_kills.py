"""kill -9 of the engine of a paper run, and of its control, after which engine and venue end by themselves.

Engine: a new one recovers the state of the venue, and no order is made twice. Control: the account is left as
`on_stop` requires within a bounded time, no process stays alive, and the run is settled from the venue's ledger. The
record of a run is compared with that ledger.
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
from tests.drivers.load import stretched
from tests.drivers.paper_run import PaperRun, with_fields
from tests.drivers.processes import orphans_after
from tests.drivers.running_ledger import has_position_and_orders, transaction_times
from tests.drivers.tc import Tc, wait_until
from tests.oracles.engine_takeover import not_taken_over
from tests.oracles.paper_truth import ledger_of, untruths

FULL = 20
SAMPLE = "btcusdt-sample"
FLAT_SECONDS = 16.0
"""From the death of control: the venue flattens after 15 s if the engine does not."""
GONE_SECONDS = 25.0
"""Engine and venue end within 20 s by themselves."""
_STARTING_SECONDS = 1.2
_WRITING_SECONDS = 0.03
_ORDER_SECONDS = 0.004
_WAIT_SECONDS = 300.0
_RESTARTS = 2
_BLOCKS_AT = 3
_BLOCKS = Path(__file__).with_name("blocks.py")


@dataclass(slots=True)
class KillSession:
    """A running paper run, in a home of its own."""

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
        """Returns also when the run has ended."""
        wait_until(lambda: condition() or self.run.process.poll() is not None, what, _WAIT_SECONDS)

    def wait_for_trade(self) -> None:
        self.run.wait_for("order_event", lambda payload: payload["type"] == "OrderFilled")

    def wait_until_open(self) -> None:
        """A position and an open order."""
        self.wait(lambda: all(has_position_and_orders(self.venue)), "a position and an open order")

    def sleep_up_to(self, seconds: float) -> None:
        time.sleep(self.rng.uniform(0, seconds))

    def kill(self, *names: str) -> None:
        """Kill the named children, and control if named, one immediately after the other."""
        pids = [self.run.child(name) for name in names if name != "control"]
        self.trial.observe("open at the kill", _open_items(*has_position_and_orders(self.venue)))
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
"""Returns when the moment has come."""


def _attempts(
    name: str, context: ExperimentContext, moments: Sequence[str], run: Callable[..., None]
) -> Iterator[Attempt]:
    context.prepare_dataset(SAMPLE)
    for number in range(context.trial_count(FULL)):
        moment = moments[number % len(moments)]
        attempt = partial(run, context=context, moment=moment, is_repeat=bool(number // len(moments) % 2))
        yield Attempt(f"{name}-{number}-{moment.replace(' ', '-')}", attempt, 900.0)


def _spec(tc: Tc, **paper: Any) -> str:
    return tc.spec(mode="paper", strategy="order_lifecycle_demo", paper=paper)


# Moments.


def _open(session: KillSession) -> None:
    session.wait_until_open()
    session.sleep_up_to(0.6 * session.minute_seconds)


def _anywhere(session: KillSession) -> None:
    session.wait_for_trade()
    session.sleep_up_to(5 * session.minute_seconds)


def _at_an_order(session: KillSession) -> None:
    session.wait_for_trade()
    session.sleep_up_to(3 * session.minute_seconds)
    sequence = session.run.events[-1]["seq"]
    session.run.wait_for("order_event", lambda payload: payload["type"] == "OrderSubmitted", after=sequence)
    session.sleep_up_to(_ORDER_SECONDS)


def _as_venue_starts(session: KillSession) -> None:
    session.run.wait_for_child("venue")
    session.sleep_up_to(_STARTING_SECONDS)


def _as_engine_starts(session: KillSession) -> None:
    session.run.wait_for_child("engine")
    session.sleep_up_to(_STARTING_SECONDS)


def _as_it_stops(session: KillSession) -> None:
    session.run.wait_for("gate_closed")
    session.sleep_up_to(10 * _WRITING_SECONDS)


def _as_results_are_written(session: KillSession) -> None:
    session.wait((session.run.folder / "venue" / "ledger.jsonl").exists, "the ledger to be kept")
    session.sleep_up_to(_WRITING_SECONDS)


def _as_venue_is_put_away(session: KillSession) -> None:
    session.wait(session.venue.exists, "the venue")
    session.wait(lambda: not session.venue.exists(), "the venue's folder to be removed")
    session.sleep_up_to(_WRITING_SECONDS / 3)


def _as_it_is_sealed(session: KillSession) -> None:
    session.wait(lambda: _has_ended(session.run.folder), "its end")
    session.sleep_up_to(_WRITING_SECONDS)


def _has_ended(folder: Path) -> bool:
    return any(event["event"] in ENDINGS for event in lifecycle(journal_bytes(folder)))


def _in_a_handler(session: KillSession) -> None:
    """Its strategy blocks the engine's thread, with an open position, and never returns."""
    bars = session.run.folder / ".bars.jsonl.tmp"
    session.wait(lambda: bars.exists() and bars.read_bytes().count(b"\n") >= _BLOCKS_AT, "the bar whose handler blocks")


# The engine.

ENGINE_MOMENTS: dict[str, Moment] = {
    "with position and orders": _open,
    "anywhere": _anywhere,
    "at an order": _at_an_order,
    "as it starts": _as_engine_starts,
    "again and again": _open,
}
_OPEN = "with position and orders"
_ENGINE_ORDER = (_OPEN, "anywhere", "again and again", _OPEN, "at an order", _OPEN, "as it starts")


def engine_attempts(context: ExperimentContext) -> Iterator[Attempt]:
    yield from _attempts("paper-kill-engine", context, _ENGINE_ORDER, _kill_engine)


def _kill_engine(trial: Trial, context: ExperimentContext, moment: str, *, is_repeat: bool) -> None:
    """is_repeat: whether an earlier trial had the same moment."""
    tc, speed = context.home(trial), 120 if is_repeat else 60
    is_repeated_kill = moment == "again and again"
    bars = 100 if is_repeated_kill else 16
    spec = _spec(tc, speed=speed, max_bars=bars, restart="on_failure", max_restarts=_RESTARTS)
    with PaperRun(tc, spec, RUN) as run:
        session = KillSession(trial, run, 60 / speed)
        for number in range(1, _RESTARTS + 2 if is_repeated_kill else 2):
            if number > 1:
                run.wait_for("paper_heartbeat", with_fields(engine_number=number))
            ENGINE_MOMENTS[moment](session)
            session.kill("engine")
            run.wait_for("engine_lost", with_fields(engine_number=number))
        answer = run.end(_WAIT_SECONDS)
        trial.observe("moment", moment)
        trial.observe("exit", answer.code)
        trial.claim(answer.code == int(is_repeated_kill), f"exits {answer.code}: {answer.err[-400:]}")
        _claim_engine_record(trial, run, bars, is_repeated_kill=is_repeated_kill)


def _claim_engine_record(trial: Trial, run: PaperRun, bars: int, *, is_repeated_kill: bool) -> None:
    """The record has the end of each engine and the missed bars, and contains nothing untrue."""
    for untruth in untruths(run.tc, RUN, run.process.returncode):
        trial.claim(False, untruth)
    metadata = run.tc.json("run", "show", RUN)
    summary = metadata["paper"]
    status, kills = ("failed", _RESTARTS + 1) if is_repeated_kill else ("completed", 1)
    trial.claim(metadata["status"] == status, f"its status is {metadata['status']}")
    ends = [engine["ended_by"] for engine in summary["engines"]]
    expected_ends = ["SIGKILL"] * kills + ([] if is_repeated_kill else ["stopped"])
    trial.claim(ends == expected_ends, f"its engines ended by {ends}")
    trial.claim(
        summary["restarts"] == len(expected_ends) - 1, f"{summary['restarts']} restarts of {len(expected_ends)} engines"
    )
    trial.claim(summary["final_account"]["flat"], f"the final account is {summary['final_account']}")
    for loss in [event for event in run.events if event["event"] == "engine_lost"]:
        if loss["payload"]["engine_number"] < len(expected_ends):
            for untruth in not_taken_over(run.folder, run.events, loss):
                trial.claim(False, untruth)
    if not is_repeated_kill:
        bars_seen, missed = summary["bars_seen"], summary["bars_missed"]
        trial.claim(bars_seen + missed == bars, f"{bars_seen} bars seen and {missed} missed of {bars}")
        trial.claim(
            summary["final_reconciliation"] == "ok", f"the final reconciliation is {summary['final_reconciliation']}"
        )
        trial.observe("bars missed", missed)
    restart_seconds = summary["latencies"]["restart_to_reconciled_seconds_max"]
    if trial.claim(restart_seconds is not None, "the time from restart to reconciled is missing"):
        trial.observe("reconciled again", _time_bucket(restart_seconds))
    trial.observe("orders reported, not at the venue", summary["orders_lost"])
    trial.observe("orders at the venue, not reported", summary["orders_unknown"])


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
"""Moment and killed processes."""


def control_attempts(context: ExperimentContext) -> Iterator[Attempt]:
    yield from _attempts("paper-kill-control", context, tuple(CONTROL_MOMENTS), _kill_control)


def _kill_control(trial: Trial, context: ExperimentContext, moment: str, *, is_repeat: bool) -> None:
    """is_repeat: whether an earlier trial had the same moment; then no recover is tried at once."""
    tc = context.home(trial)
    wait_for_moment, victims = CONTROL_MOMENTS[moment]
    on_stop = trial.rng.choice(("flatten", "flatten", "leave"))
    with PaperRun(tc, _control_spec(tc, trial, moment, on_stop), RUN) as run:
        session = KillSession(trial, run, 60 / 120)
        wait_for_moment(session)
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
        if not (run.folder / "report.md").exists():  # its owner died after the seal: reports are derived
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
    """A recover at once is refused while the venue still settles the account."""
    answer = session.run.tc("run", "recover", RUN)
    trial.observe("recover at once", answer.code)
    if answer.code == 5:
        trial.claim("its venue still runs" in answer.err, f"recover at once reports {answer_text(answer)}")
    else:
        trial.claim(answer.code == 0, f"recover at once exits {answer.code}: {answer_text(answer)}")


def _claim_processes_ended(trial: Trial, session: KillSession) -> None:
    orphans = orphans_after(GONE_SECONDS)
    seconds = (time.time_ns() - session.killed_ns) / NS_PER_SECOND
    trial.claim(not orphans, f"{orphans} are alive {GONE_SECONDS:.0f} s after control")
    trial.observe("all processes ended", _time_bucket(seconds))


def _claim_account(trial: Trial, session: KillSession, on_stop: str) -> None:
    """The account is as `on_stop` requires, in time."""
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
        by_venue = [
            order for order in state.orders.values() if str(order["client_order_id"]).startswith("opslab-flatten")
        ]
        trial.claim(not by_venue, f"with on_stop: leave, it was flattened: {by_venue}")
        return
    trial.observe("account", "flat" if not state.open and not state.position else "not flat")
    trial.claim(not state.open and not state.position, f"left with {state.position} and {state.open}")
    trial.claim(not late or late[-1] < stretched(FLAT_SECONDS), f"flat only {late[-1:]} s after the death of control")
    trial.observe("flat", _time_bucket(late[-1]) if late else "before")


def _open_items(position: bool, orders: bool) -> str:
    return " and ".join(name for name, is_open in (("position", position), ("orders", orders)) if is_open) or "nothing"


def _time_bucket(seconds: float) -> str:
    return f"within {math.ceil(seconds * 5) / 5:g} s"

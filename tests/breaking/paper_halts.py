"""The kill switch of a paper run, activated at any time, alone and combined with another failure.

In every case: the run ends, its record is true, its account is flat by the venue's ledger although `on_stop` is
`leave`, and after the gate the ledger accepts no order of the strategy except orders in flight.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.runs.processes.venue_folder import is_venue_running
from opslab.store.layout import Layout
from tests.breaking.context import RUN, ExperimentContext
from tests.breaking.trial import Attempt, Trial
from tests.drivers.load import stretched
from tests.drivers.paper_run import PaperRun
from tests.drivers.tc import Tc, wait_until
from tests.oracles.paper_truth import untruths

FULL = 60
SAMPLE = "btcusdt-sample"
_LIFE_SECONDS = 9.0
"""Duration of an undisturbed run."""
_PAPER = {"speed": 240, "max_bars": 24, "on_stop": "leave", "restart": "on_failure"}
_END_SECONDS = 300.0
_GONE_SECONDS = 40.0
_IN_FLIGHT_SECONDS = 0.5
_STOPPED_SECONDS = 3.0
"""Time for which control is stopped."""


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    context.prepare_dataset(SAMPLE)
    count = context.trial_count(FULL)
    for number in range(count):
        name = list(ACTIONS)[number % len(ACTIONS)]
        attempt = partial(_halt, context=context, name=name, progress=number / count)
        yield Attempt(f"paper-halt-{number}-{name.replace(' ', '-')}", attempt, 900.0)


def _halt(trial: Trial, context: ExperimentContext, name: str, progress: float) -> None:
    """progress: approximate share of the run's duration at the activation."""
    tc = context.home(trial)
    spec = tc.spec(mode="paper", strategy="order_lifecycle_demo", paper=_PAPER)
    with PaperRun(tc, spec, RUN) as run:
        with suppress(subprocess.TimeoutExpired):
            run.process.wait((progress + trial.rng.uniform(0, 0.1)) * _LIFE_SECONDS)
        if not run.folder.is_dir():
            wait_until(lambda: run.folder.is_dir() or run.process.poll() is not None, "the run")
        ACTIONS[name](trial, run)
        code = run.end(_END_SECONDS).code
        if code == -signal.SIGKILL:
            _settle(trial, tc)
        _claim(trial, run, None if code == -signal.SIGKILL else code)


def _activate(run: PaperRun) -> None:
    run.tc.ok("kill", "activate", "--run-id", RUN, "--reason", "a trial")


def _alone(_trial: Trial, run: PaperRun) -> None:
    _activate(run)


def _engine_killed(trial: Trial, run: PaperRun) -> None:
    """Kill the engine shortly before the activation (a new one may be starting), or shortly after it."""
    kill_first = trial.rng.random() < 0.5
    if not kill_first:
        _activate(run)
    time.sleep(trial.rng.uniform(0, 0.02))
    _send_signal(run, "engine", signal.SIGKILL)
    if kill_first:
        time.sleep(trial.rng.uniform(0, 0.5))
        _activate(run)


def _venue_killed(trial: Trial, run: PaperRun) -> None:
    _activate(run)
    time.sleep(trial.rng.uniform(0, 0.02))
    _send_signal(run, "venue", signal.SIGKILL)


def _control_stopped(_trial: Trial, run: PaperRun) -> None:
    with suppress(ProcessLookupError):
        os.kill(run.process.pid, signal.SIGSTOP)
    try:
        _activate(run)
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(_STOPPED_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.kill(run.process.pid, signal.SIGCONT)


def _control_killed(trial: Trial, run: PaperRun) -> None:
    _activate(run)
    time.sleep(trial.rng.uniform(0, 0.3))
    run.process.kill()


def _engine_stopped(_trial: Trial, run: PaperRun) -> None:
    """No thread of the engine runs any more."""
    _send_signal(run, "engine", signal.SIGSTOP)
    _activate(run)


ACTIONS: dict[str, Callable[[Trial, PaperRun], None]] = {
    "alone": _alone,
    "engine killed": _engine_killed,
    "venue killed": _venue_killed,
    "control stopped": _control_stopped,
    "control killed": _control_killed,
    "engine stopped": _engine_stopped,
}
"""Actions of a trial, including the activation."""


def _send_signal(run: PaperRun, child: str, number: signal.Signals) -> None:
    pid = run.child(child)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _settle(trial: Trial, tc: Tc) -> None:
    wait_until(lambda: not is_venue_running(Layout(tc.home), RunId(RUN)), "the venue to end", stretched(_GONE_SECONDS))
    [recovered] = tc.json("run", "recover", RUN)["runs"]
    trial.observe("recover", recovered["action"])


def _claim(trial: Trial, run: PaperRun, code: int | None) -> None:
    metadata = run.tc.json("run", "show", run.run_id)
    status, halt = metadata["status"], metadata["halt"]
    trial.observe("status", status)
    if status == "safety_blocked":
        trial.claim(code in (4, None), f"tc exits {code} with a run that was kept from starting")
        return
    for untruth in untruths(run.tc, run.run_id, code):
        trial.claim(False, untruth)
    if status in ("completed", "failed") and _had_ended(run, metadata):
        return
    allowed = ("halted",) if code is not None else ("halted", "interrupted")
    trial.claim(status in allowed, f"it is {status}: {metadata['failure']}")
    if status != "halted":
        return
    account = metadata["paper"]["final_account"]
    trial.claim(halt["flat"] is True and account["flat"], f"the final account: {account}")
    trial.observe("to gate", _time_bucket(halt["seconds_to_gate"]))
    trial.observe("to flat", _time_bucket(halt["seconds_to_flat"]))
    trial.observe("flattened by", halt["flattened_by"])
    trial.observe("escalation", halt["escalation"])
    if halt["gate_closed_at"]:
        late = list(_accepted_after_gate(run, parse_iso(halt["gate_closed_at"])))
        trial.claim(not late, f"after the gate the venue accepted {late[:3]}")


def _had_ended(run: PaperRun, metadata: dict[str, Any]) -> bool:
    """Whether the run had ended by itself when the switch was activated."""
    state = json.loads((run.tc.home / "runtime" / "kill_switch" / f"{RUN}.state.json").read_text())
    closed = [event["time"] for event in run.events if event["event"] in ("gate_closed", "run_stopping")]
    return bool(closed and closed[0] <= state["activated_at"]) or metadata["ended_at"] <= state["activated_at"]


def _accepted_after_gate(run: PaperRun, gate_ns: int) -> Iterator[dict[str, Any]]:
    """Orders that may open a position, and that were not in flight when the gate closed."""
    for line in (run.folder / "venue" / "ledger.jsonl").read_bytes().splitlines():
        transaction = json.loads(line)
        seconds_after_gate = (parse_iso(transaction["time"]) - gate_ns) / NS_PER_SECOND
        for event in transaction["events"]:
            may_open = event["kind"] == "accepted" and not event["reduce_only"]
            if may_open and seconds_after_gate > _IN_FLIGHT_SECONDS:
                yield event


def _time_bucket(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    limit = next((limit for limit in (0.005, 0.015, 0.05, 0.5, 1, 2, 5, 15) if seconds < limit), None)
    return f"within {limit:g} s" if limit else "later"

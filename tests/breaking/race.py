"""Two processes at once: two starts of one run id, two recovers of one run, a recover of a living run."""

import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.breaking.aftermath import Expected, action_of, claim_no_leftovers, claim_whole
from tests.breaking.chain import journal_bytes, lifecycle
from tests.breaking.context import ORDERS_SAMPLE, RUN, SMOKE_TINY, ExperimentContext, RunKind, undisturbed_profile
from tests.breaking.forged import copy_into, cut_off, finished, unseal
from tests.breaking.trial import Attempt, Trial
from tests.drivers.processes import Process, start
from tests.drivers.tc import Tc, wait_until

FULL = 200
_APART_SECONDS = 0.05
_END_SECONDS = 300.0
_REFUSED = 5


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    count = context.trial_count(FULL)
    tiny = undisturbed_profile(context, SMOKE_TINY).expected
    for number in range(count):
        yield Attempt(f"race-for-one-id-{number}", partial(_start_twice, context=context, expected=tiny, number=number))
    run = finished(context)
    orders = Expected(Tc(run.parents[2]).json("run", "show", RUN)["result_digest"])
    for number in range(max(2, count // 4)):
        attempt = partial(_recover_twice, run=run, expected=orders, unsealed=bool(number % 2))
        yield Attempt(f"race-to-recover-{number}", attempt)
    for number in range(max(1, count // 20)):
        kind = ORDERS_SAMPLE if number % 2 else context.orders
        attempt = partial(
            _recover_living, context=context, kind=kind, expected=undisturbed_profile(context, kind).expected
        )
        yield Attempt(f"race-recover-a-living-{number}", attempt)


def _start_twice(trial: Trial, context: ExperimentContext, expected: Expected, number: int) -> None:
    """One starts, one is refused; in every third trial the run was initialized before."""
    tc = context.home(trial)
    spec = SMOKE_TINY.spec(tc.home)
    initialized = number % 3 == 2
    if initialized:
        tc.ok("run", "init", "--spec", spec, "--run-id", RUN)
    codes = _run_two(trial, tc, "run", "backtest", "--spec", spec, "--run-id", RUN)
    trial.observe("for one id" + (", initialized" if initialized else ""), f"exits {codes[0]} and {codes[1]}")
    trial.claim(sorted(codes) == [0, _REFUSED], f"two backtests of one id exit {codes}: {_errors(trial)}")
    _claim_no_traceback(trial)
    claim_no_leftovers(trial, tc)
    status = claim_whole(trial, tc, RUN, expected)["status"]
    trial.claim(status == "completed", f"the started run is {status}")
    runs = sorted(path.name for path in (tc.home / "artifacts" / "runs").iterdir())
    trial.claim(runs == [RUN], f"there are {runs}")


def _recover_twice(trial: Trial, run: Path, expected: Expected, unsealed: bool) -> None:
    """Both exit 0, and the run is settled once."""
    tc = Tc(trial.folder / "home")
    folder = copy_into(tc, run)
    (unseal if unsealed else cut_off)(folder)
    codes = _run_two(trial, tc, "run", "recover", RUN, "--json")
    trial.observe("to recover", f"exits {sorted(codes)}")
    trial.claim(set(codes) == {0}, f"two recovers at once exit {codes}: {_errors(trial)}")
    _claim_no_traceback(trial)
    status = claim_whole(trial, tc, RUN, expected)["status"]
    trial.claim(status == ("completed" if unsealed else "interrupted"), f"the recovered run is {status}")
    trial.claim(action_of(tc("run", "recover", RUN, "--json")) == "unchanged", "a third recover had an effect")


def _recover_living(trial: Trial, context: ExperimentContext, kind: RunKind, expected: Expected) -> None:
    """Refused, and the run is not disturbed. It is stopped (SIGSTOP) meanwhile: a stopped process is alive."""
    tc = context.home(trial)
    process = start(tc, trial.folder / "tc", "run", "backtest", "--spec", kind.spec(tc.home), "--run-id", RUN)
    wait_until(lambda: _has_started(tc) or process.poll() is not None, "the run to start")
    process.send_signal(signal.SIGSTOP)
    answer = tc("run", "recover", RUN, "--json")
    all_answer = tc("run", "recover", "--all", "--json")
    verified = tc("run", "verify", RUN, "--json")
    status_shown = tc.json("run", "show", RUN)["status"]
    process.send_signal(signal.SIGCONT)
    trial.observe("recover of a living run", f"exit {answer.code}")
    trial.claim(answer.code == _REFUSED, f"recover of a living run exits {answer.code}: {answer.err}")
    trial.claim(all_answer.code == 0, f"recover --all beside a living run exits {all_answer.code}: {all_answer.err}")
    trial.claim(verified.code == 3, f"verify of a living run exits {verified.code}: {verified.out}")
    trial.claim(status_shown == "running", f"show reports {status_shown} for a living run")
    code = process.wait(_END_SECONDS)
    trial.claim(code == 0, f"the living run exits {code}: {_errors(trial)}")
    status = claim_whole(trial, tc, RUN, expected)["status"]
    trial.claim(status == "completed", f"the living run is {status}")
    claim_no_leftovers(trial, tc)


def _has_started(tc: Tc) -> bool:
    return any(event["event"] == "run_started" for event in lifecycle(journal_bytes(tc.run_folder(RUN))))


def _run_two(trial: Trial, tc: Tc, *arguments: str) -> list[int]:
    """Exit codes of two processes that were started together, the second at most `_APART_SECONDS` later."""
    running: list[Process] = []
    for name in ("one", "two"):
        running.append(start(tc, trial.folder / name, *arguments))
        time.sleep(_delay(trial.rng))
    return [process.wait(_END_SECONDS) for process in running]


def _delay(rng: random.Random) -> float:
    return rng.choice((0.0, rng.uniform(0, _APART_SECONDS)))


def _errors(trial: Trial) -> str:
    return " | ".join(path.read_text(errors="replace").strip()[-300:] for path in sorted(trial.folder.glob("*.err")))


def _claim_no_traceback(trial: Trial) -> None:
    trial.claim("Traceback" not in _errors(trial), f"a traceback: {_errors(trial)}")

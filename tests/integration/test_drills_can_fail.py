"""A drill fails when the lab is broken in the place that the drill is about, and only then.

The pass without the fault is that of the lab as it is; the pass with the fault has the broken lab.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opslab.drills.execution.drill_pass import DrillPass, Patience
from opslab.drills.execution.planning import plan_drill
from opslab.drills.execution.run_process import RUN_COMMAND
from opslab.drills.execution.stop_conditions import StopConditions
from opslab.drills.judgement.judge import judge
from opslab.drills.registry import DRILLS, find_drill
from opslab.lab.context import open_context
from opslab.model.checks.drill import Judgement, PassHistory, PassKind
from opslab.system import StopSignals
from tests.drivers.tc import Tc
from tests.fakes import broken_labs

# Broken lab, its drill, the first check that fails.
CASES = (
    ("bars-guard-off", "stale-market-data", "candles silent: detected"),
    ("quotes-guard-off", "stale-orderbook", "quotes silent: detected"),
    ("comparison-blind", "reconciliation-mismatch", "foreign trade: detected"),
    ("restart-without-claiming", "restart-recovery", "engine killed: paper_heartbeat"),
    ("lost-sockets-unreported", "disconnect", "connections lost: detected"),
    ("orders-not-queried", "missing-update", "updates missing: detected"),
    ("in-flight-unreported", "rate-limit-exhaustion", "requests refused: detected"),
    ("halt-trusts-node", "venue-overload", "halt while overloaded: recovered"),
    ("gate-opens-again", "venue-overload", "halt while overloaded: recovered"),
    ("hang-watch-off", "engine-hang", "engine hangs: detected"),
)
OTHER_DRILLS = (("bars-guard-off", "stale-orderbook"), ("hang-watch-off", "disconnect"))
PATIENCE = Patience(factor=1, seconds=2)
"""Just beyond the bounds: how late a reaction is does not matter here."""


def history(tc: Tc, drill_name: str, kind: PassKind, command: tuple[str, ...], signals: StopSignals) -> PassHistory:
    context, drill = open_context(str(tc.home)), find_drill(drill_name)
    plan = plan_drill(context, drill, None, kind)
    one = DrillPass(
        context,
        drill,
        kind,
        plan.of_run(str(tc.home), kind),
        command,
        signals,
        lambda _kind, _text: None,
        StopConditions(),
        PATIENCE,
    )
    one.run()
    return one.history()


def judged(tc: Tc, drill_name: str, broken_lab: str) -> Judgement:
    """Both passes at once."""
    broken = (sys.executable, "-P", str(Path(broken_labs.__file__)), broken_lab)
    with StopSignals() as signals, ThreadPoolExecutor() as pool:
        control = pool.submit(history, tc, drill_name, "control", RUN_COMMAND, signals)
        fault = pool.submit(history, tc, drill_name, "fault", broken, signals)
        return judge(find_drill(drill_name).definition, "completed", control.result(), fault.result())


def test_every_drill_and_every_broken_lab_is_here() -> None:
    assert {drill for _, drill, _ in CASES} == DRILLS.keys()
    assert {lab for lab, _, _ in CASES} == broken_labs.BROKEN_LABS.keys()


@pytest.mark.parametrize(("broken_lab", "drill", "check"), CASES, ids=[lab for lab, _, _ in CASES])
def test_a_broken_lab_fails_its_drill(tc: Tc, broken_lab: str, drill: str, check: str) -> None:
    judgement = judged(tc, drill, broken_lab)
    assert (judgement.verdict, judgement.deviated_at) == ("fail", check), judgement.checks


@pytest.mark.parametrize(("broken_lab", "drill"), OTHER_DRILLS)
def test_a_broken_lab_passes_another_drill(tc: Tc, broken_lab: str, drill: str) -> None:
    judgement = judged(tc, drill, broken_lab)
    assert judgement.verdict == "pass", judgement.checks

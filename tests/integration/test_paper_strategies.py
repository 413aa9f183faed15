"""Strategies that misbehave in a paper run: each run says what happened, and none leaves its account open."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.load import stretched
from tests.drivers.paper_run import PaperRun
from tests.drivers.tc import Tc
from tests.oracles.paper_truth import true_end

UNRULY = Path(__file__).parents[1] / "strategies" / "paper" / "unruly.py"
PAPER = {"speed": 480, "max_bars": 10, "reconcile_every_seconds": 2}


def run_of(tc: Tc, name: str, **paper: Any) -> PaperRun:
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(UNRULY, folder)
    return PaperRun(tc, tc.own_spec(folder, {"path": f"unruly:{name}"}, mode="paper", paper={**PAPER, **paper}))


def flattened(run: PaperRun) -> dict[str, Any]:
    """By whom, and what the venue said behind it."""
    (told,) = run.told("positions_flattened")
    assert told["flat"] is True
    return told


@pytest.mark.parametrize(
    ("name", "where", "fills"),
    [
        ("RaisesInOnBar", "on_bar", 2),
        ("RaisesInOnStart", "on_start", 0),
        ("RaisesInOnStop", "on_stop", 2),
    ],
)
def test_one_that_raises_fails_the_run_and_its_engine_leaves_the_account_flat(
    tc: Tc, name: str, where: str, fills: int
) -> None:
    with run_of(tc, name, restart="on_failure") as run:
        shown = true_end(run, 1)
        assert shown["status"] == "failed"
        assert shown["failure"]["message"] == f"{where} raised ValueError: its own mistake"
        assert 'raise ValueError("its own mistake")' in shown["failure"]["detail"]
        assert shown["metrics"]["fills_count"] == fills  # the one that opened, and the one that closed
        assert flattened(run)["by"] == "engine"
        assert shown["paper"]["final_reconciliation"] == "ok"
        assert shown["paper"]["restarts"] == 0  # it would do it again


def test_one_that_blocks_for_less_than_it_may_goes_on(tc: Tc) -> None:
    with run_of(tc, "BlocksForAWhile") as run:
        shown = true_end(run, 0)
        assert (shown["status"], shown["metrics"]["bars_seen"]) == ("completed", 10)
        ages = [later["heartbeat"]["timer_lag_ms"] for later in run.told("paper_heartbeat")]
        assert max(ages) > 3_000  # nobody hides that it was held up
        assert "engine_lost" not in run.names


def test_one_that_blocks_for_longer_is_killed_and_says_where_it_stood(tc: Tc) -> None:
    with run_of(tc, "BlocksForEver", hang_after_seconds=2) as run:
        shown = true_end(run, 1)
        (lost,) = run.told("engine_lost")
        assert shown["failure"]["message"] == lost["failure"]["message"]
        assert re.search(r'unruly\.py", line \d+ in misbehave', (run.folder / "logs/engine.log").read_text())
        assert shown["paper"]["engines"][0]["ended_by"] == "hang"
        assert flattened(run)["by"] == "venue"
        assert (shown["paper"]["orders_by_venue"], shown["metrics"]["orders_canceled"]) == (1, 1)
        last = run.told("paper_heartbeat")[-1]["heartbeat"]["sent_at"]
        ended = next(event["time"] for event in run.events if event["event"] == "engine_lost")
        assert 2 < _seconds(ended) - _seconds(last) < stretched(5)


def test_one_that_leaks_is_killed_before_it_takes_the_machine_along(tc: Tc) -> None:
    with run_of(tc, "Leaks", max_memory_mb=300) as run:
        shown = true_end(run, 1)
        message = "the engine used more than 300 MB (paper.max_memory_mb), and was killed"
        assert shown["failure"]["message"] == message
        assert shown["paper"]["engines"][0]["ended_by"] == "memory"
        assert flattened(run)["by"] == "venue"


def test_one_that_leaves_at_once_takes_nothing_along(tc: Tc) -> None:
    with run_of(tc, "LeavesAtOnce") as run:
        shown = true_end(run, 1)
        assert shown["failure"]["message"] == "the engine process ended with exit code 3"
        assert flattened(run)["by"] == "venue"
        assert shown["metrics"]["bars_seen"] >= 4


def test_an_engine_that_somebody_else_ends_was_not_ended_by_its_run(tc: Tc) -> None:
    """It closes its gate and flattens as ever, and the run has failed: it did not come to its end."""
    with run_of(tc, "EndsItself") as run:
        shown = true_end(run, 1)
        assert shown["failure"]["message"] == "the engine ended by itself: SIGTERM, which did not come from tc"
        assert (shown["status"], flattened(run)["by"]) == ("failed", "engine")


def test_what_harms_nobody_is_put_up_with(tc: Tc) -> None:
    with run_of(tc, "Unruly") as run:
        shown = true_end(run, 0)
        assert shown["status"] == "completed"
        assert shown["denial_reasons"] == {"RUN_IS_ENDING": 2}
        assert (shown["metrics"]["orders_submitted"], shown["metrics"]["fills_count"]) == (3, 2)
        assert 8 << 20 <= (run.folder / "logs/engine.log").stat().st_size < 9 << 20


def _seconds(time: str) -> float:
    hours, minutes, seconds = time.partition("T")[2].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)

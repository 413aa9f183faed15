"""`tc reconcile check --from-run`: reconcile a heartbeat of a paper run's journal."""

import json
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from opslab.model.primitives.instant import NS_PER_SECOND, iso
from opslab.store.runs.journal import Journal
from tests.drivers.tc import Answer, Tc
from tests.fakes.moving_account import (
    BEGIN_NS,
    RESTING_ORDER_NUMBER,
    AccountHistory,
    NodeError,
    Pace,
    SimulatedOrder,
    Simulation,
    with_resting_order,
)
from tests.fakes.paper_journals import RecordedClock, beat_of, heartbeat, heartbeats_of, this_process, write_run

STILL = Pace(0, (0, 0))
BUSY = Pace(20, (0.001, 0.02))
FIRST = 3
"""seq of the first heartbeat: after `run_initialized` and `run_started`."""


def simulate(pace: Pace = STILL, **more: Any) -> Simulation:
    return Simulation(with_resting_order(AccountHistory(1, pace, 40)), **more)


@pytest.fixture
def lab(tmp_path: Path) -> Tc:
    return Tc(tmp_path)


def check(tc: Tc, *more: str, run_id: str = "r1") -> Answer:
    return tc("reconcile", "check", "--from-run", run_id, *more)


def judged(tc: Tc, *more: str) -> Any:
    return check(tc, *more, "--json").document


def reasons(document: Any) -> list[tuple[str, str, str]]:
    return [(row["subject"], row["field"], row["reason"]) for row in document["findings"] if row["state"] != "ok"]


def test_the_last_heartbeat_of_an_equal_account_is_ok_and_names_what_is_not_compared(lab: Tc) -> None:
    folder = write_run(lab, "r1", heartbeats_of(simulate(), 20))
    answer = check(lab)
    assert (answer.code, answer.err) == (0, "tc: recorded in run r1 as reconciliation_result-1.json\n")
    assert "state         ok" in answer.out
    assert "not compared  balances.free, balances.locked" in answer.out
    document = json.loads((folder / "reconciliation_result-1.json").read_text())
    seq = FIRST + 19
    assert (document["occasion"], document["heartbeat"], document["comparisons"]) == ("heartbeat", seq, 20)
    assert document["checked_at"] == iso(BEGIN_NS + 20 * NS_PER_SECOND)


def test_no_heartbeat_of_a_busy_account_is_a_mismatch(lab: Tc) -> None:
    write_run(lab, "r1", heartbeats_of(simulate(BUSY), 12))
    assert {judged(lab, "--heartbeat", str(FIRST + number))["state"] for number in range(12)} <= {"ok", "warning"}


@pytest.mark.parametrize(
    ("node_error", "subject", "reason"),
    [
        ("lost order", "x-lab-0", "only_observed"),
        ("invented order", "O-1000000", "only_expected"),
        ("wrong position", "BTCUSDT", "differs"),
        ("wrong wallet", "USDT", "differs"),
    ],
)
def test_an_error_is_pending_at_its_first_heartbeat_and_a_mismatch_at_the_second(
    lab: Tc, node_error: NodeError, subject: str, reason: str
) -> None:
    write_run(lab, "r1", heartbeats_of(simulate(node_error=node_error, error_from_s=9.5), 12))
    before, first, second = (check(lab, "--heartbeat", str(FIRST + number), "--json") for number in (8, 9, 10))
    assert (before.code, before.document["state"]) == (0, "ok")
    assert (first.code, first.document["state"]) == (0, "warning")
    assert {reason for _, _, reason in reasons(first.document)} == {"pending"}
    assert (second.code, second.document["state"]) == (1, "mismatch")
    assert {(row[0], row[2]) for row in reasons(second.document)} == {(subject, reason)}
    (differs, *_) = second.document["findings"]
    assert differs["first_comparison"]["age_seconds"] == "1"


def test_an_order_in_flight_at_the_heartbeat_is_no_mismatch(lab: Tc) -> None:
    history = with_resting_order(AccountHistory(0, STILL, 40))
    simulation = Simulation(history)
    beats = heartbeats_of(simulation, 10)
    closed = simulation.history.venue[0].closed(RESTING_ORDER_NUMBER)
    changed = SimulatedOrder(RESTING_ORDER_NUMBER, "BUY", Decimal(1), Decimal(50_000))
    simulation.history.venue[0] = closed.opened(changed)
    simulation.now_s += 1
    node = simulation.node_snapshot(0, simulation.now_s - 0.002)
    waiting = node.model_dump(mode="json") | {
        "in_flight": [{"kind": "order", "client_order_id": "O-0", "age_seconds": 0.4}]
    }
    venue = simulation.venue_snapshot()
    assert venue
    venue = venue.model_copy(update={"account": venue.account.model_copy(update={"open_orders": ()})})
    payload = heartbeat(1, beat_of(type(node).model_validate_json(json.dumps(waiting)), 11), venue)
    write_run(lab, "r1", [*beats, (simulation.now_ns(), payload)])
    document = judged(lab)
    assert document["state"] == "warning"
    assert reasons(document) == [("O-0", "client_order_id", "in_flight")]
    assert [item["age_seconds"] for item in document["in_flight"]] == ["0.4"]


def test_the_same_heartbeat_always_has_the_same_result(lab: Tc) -> None:
    folder = write_run(lab, "r1", heartbeats_of(simulate(BUSY, node_error="lost order"), 15))
    for _ in range(2):
        assert check(lab, "--heartbeat", "12").code == 1
    first, second = (folder / f"reconciliation_result-{number}.json" for number in (1, 2))
    assert first.read_bytes() == second.read_bytes()


def test_heartbeats_of_another_engine_are_not_used(lab: Tc) -> None:
    simulation = simulate(node_error="lost order")
    beats = heartbeats_of(simulation, 8)
    simulation._error_from_s = 100
    write_run(lab, "r1", [*beats, *heartbeats_of(simulation, 1, engine=2)])
    assert check(lab, "--heartbeat", str(FIRST + 7)).code == 1
    document = judged(lab)
    assert (document["state"], document["comparisons"]) == ("ok", 1)


def test_a_heartbeat_without_the_venue_is_unknown_and_not_the_default(lab: Tc) -> None:
    simulation = simulate()
    beats = heartbeats_of(simulation, 5)
    simulation.venue_is_up = False
    write_run(lab, "r1", [*beats, *heartbeats_of(simulation, 3)])
    assert judged(lab)["heartbeat"] == FIRST + 4
    answer = check(lab, "--heartbeat", str(FIRST + 7), "--json")
    assert (answer.code, answer.document["state"]) == (3, "unknown")
    assert {finding["reason"] for finding in answer.document["findings"]} == {"no_answer"}
    assert {finding["snapshot"] for finding in answer.document["findings"]} == {"observed"}


def test_a_venue_snapshot_much_older_than_the_heartbeat_is_unknown(lab: Tc) -> None:
    simulation = simulate()
    venue = simulation.venue_snapshot()
    simulation.now_s += 120
    payload = heartbeat(1, beat_of(simulation.node_snapshot(0, simulation.now_s), 1), venue)
    write_run(lab, "r1", [(simulation.now_ns(), payload)])
    document = judged(lab)
    assert document["state"] == "unknown"
    assert reasons(document) == [("apart", "as_of", "too_far_apart")]
    assert judged(lab, "--max-apart-seconds", "200")["state"] == "ok"


@pytest.mark.parametrize("ended", ["run_completed", "run_interrupted", "run_failed"])
def test_a_sealed_run_is_sealed_again(lab: Tc, ended: str) -> None:
    write_run(lab, "r1", heartbeats_of(simulate(), 5), ended=ended)
    lab.ok("run", "verify", "r1")
    assert check(lab).code == 0
    lab.ok("run", "verify", "r1")
    shown = lab.json("run", "show", "r1")
    assert (shown["reconciliation"]["occasion"], shown["reconciliation"]["heartbeat"]) == ("heartbeat", FIRST + 4)


def test_a_running_run_is_checked_beside_its_owner(lab: Tc) -> None:
    folder = write_run(lab, "r1", heartbeats_of(simulate(), 5), ended=None, owner=this_process())
    assert check(lab).code == 0
    assert (folder / "reconciliation_result-1.json").is_file()
    assert lab.events("r1")[-1]["event"] == "reconciliation_checked"


def test_a_run_whose_owner_died_must_be_recovered_first(lab: Tc) -> None:
    stale = this_process().model_copy(update={"pid": 2**22 - 1})
    write_run(lab, "r1", heartbeats_of(simulate(), 5), ended=None, owner=stale)
    answer = check(lab)
    assert answer.code == 5
    assert "tc run recover r1" in answer.err
    lab.ok("run", "recover", "r1")
    assert check(lab).code == 0
    lab.ok("run", "verify", "r1")


@pytest.mark.parametrize("seq", ["1", "2", "8", "9", "99999999999"])
def test_a_missing_heartbeat_is_refused_with_those_that_exist(lab: Tc, seq: str) -> None:
    folder = write_run(lab, "r1", heartbeats_of(simulate(), 5))
    before = (folder / "journal.jsonl").read_bytes()
    answer = check(lab, "--heartbeat", seq)
    assert answer.code == 5
    assert f"has no heartbeat {seq}: it has 5, from 3 to 7" in answer.err
    assert (folder / "journal.jsonl").read_bytes() == before


def test_a_run_without_a_heartbeat_or_without_its_venue_is_refused(lab: Tc) -> None:
    write_run(lab, "none", [])
    assert "its journal has no heartbeat" in check(lab, run_id="none").err
    simulation = simulate()
    simulation.venue_is_up = False
    write_run(lab, "no-venue", heartbeats_of(simulation, 2))
    answer = check(lab, run_id="no-venue")
    assert answer.code == 5
    assert "it has 2 heartbeats, from 3 to 4" in answer.err


def test_a_backtest_has_no_heartbeats(lab: Tc) -> None:
    write_run(lab, "r1", [], mode="backtest")
    answer = check(lab)
    assert answer.code == 2
    assert "tc: error: run r1 is a backtest: it has no heartbeats" in answer.err
    assert "--expected" in answer.err
    assert check(lab, run_id="r2").code == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from-run", "r1", "--run-id", "r1"], "--from-run cannot be combined with --run-id"),
        (["--from-run", "r1", "--expected", "a", "--observed", "b"], "combined with --expected, --observed"),
        (
            ["--run-id", "r1", "--expected", "a", "--observed", "b", "--heartbeat", "3"],
            "--heartbeat requires --from-run",
        ),
        (["--run-id", "r1", "--expected", "a"], "missing option --observed"),
        ([], "missing option --run-id, --expected, --observed"),
        (["--from-run", "r1", "--heartbeat", "0"], "--heartbeat"),
    ],
)
def test_options_that_exclude_each_other_are_a_usage_error(lab: Tc, words: list[str], message: str) -> None:
    write_run(lab, "r1", heartbeats_of(simulate(), 2))
    answer = lab("reconcile", "check", *words)
    assert answer.code == 2
    assert message in answer.err


def test_an_invalid_heartbeat_is_corrupt_and_names_its_line(lab: Tc) -> None:
    beats = heartbeats_of(simulate(), 3)
    del beats[1][1]["heartbeat"]["node"]
    write_run(lab, "r1", beats)
    answer = check(lab)
    assert answer.code == 6
    assert "line 4" in answer.err


def test_the_text_names_the_heartbeat(lab: Tc) -> None:
    write_run(lab, "r1", heartbeats_of(simulate(node_error="lost order"), 9))
    answer = check(lab)
    assert f"heartbeat     {FIRST + 8}, at 2026-01-05T12:00:09.000000Z" in answer.out
    assert "x-lab-0" in answer.out


def test_memory_does_not_grow_with_the_journal(lab: Tc) -> None:
    """150 MB of heartbeats and other events, read in less than 120 MB."""
    folder = write_run(lab, "r1", heartbeats_of(simulate(), 3), ended=None, owner=this_process())
    payload = heartbeats_of(simulate(), 1)[0][1]
    with Journal(folder, RecordedClock()) as journal:
        for _ in range(50):
            journal.append_many([("order_event", {"filler": "x" * 1000})] * 2000)
            journal.append_many([("paper_heartbeat", payload)] * 1000)
    assert (folder / "journal.jsonl").stat().st_size > 150_000_000
    program = (
        "from opslab.runs.checks.heartbeat_log import read_heartbeats; from pathlib import Path;"
        f"print(len(read_heartbeats(Path({str(folder)!r}), None)));"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # getrusage adds the parent's
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    count, peak_kb = map(int, done.stdout.split())
    assert count == 61
    assert peak_kb < 120_000
    shutil.rmtree(folder)

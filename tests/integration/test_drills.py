"""`tc drill`: each drill breaks a running paper run, is judged, and leaves a record that can be judged again."""

import json
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from opslab.drills.execution import drill_pass
from opslab.drills.execution.planning import plan_drill
from opslab.drills.execution.run import run_drill
from opslab.drills.execution.stop_conditions import StopConditions
from opslab.drills.judgement.judge import judge
from opslab.drills.registry import DRILLS
from opslab.errors import Environment
from opslab.lab.context import open_context
from opslab.model.checks.drill import DrillRecord
from opslab.system import StopSignals
from tests.drivers.paper_run import living_in
from tests.drivers.tc import Tc, wait_until

END_SECONDS = 300.0
LIMITS = {"venue-overload": ["orders-in-doubt"], "rate-limit-exhaustion": ["orders-in-doubt"]}
"""Known limits of the engine that a drill meets. Without its limit it fails here: then the engine has mended it."""


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_passes_is_sealed_and_can_be_judged_again(tc: Tc, finished_run: Path, name: str) -> None:
    before = bytes_below(finished_run)

    answer = tc.process("drill", "run", name, "--json")

    document = answer.document
    failed = [check for check in document["judgement"]["checks"] if check["verdict"] != "pass"]
    assert (answer.code, document["status"], failed) == (0, "completed", [])
    run_id = document.pop("run_id")
    record = DrillRecord.model_validate_json(json.dumps(document))
    assert record.judgement.verdict == "pass"
    assert [limit.name for limit in record.judgement.engine_limits] == LIMITS.get(name, [])
    for times, step in zip(record.judgement.times, record.definition.steps, strict=True):
        assert times.detect_seconds is not None
        assert times.recover_seconds is not None
        assert times.detect_seconds <= step.bounds.detect

    assert record.control is not None
    as_fault = record.control.model_copy(update={"kind": "fault"})
    assert judge(record.definition, "completed", record.control, as_fault).verdict != "pass"

    folder = tc.run_folder(run_id)
    assert json.loads((folder / "drills" / f"{name}.json").read_text()) == document
    assert (folder / "drills" / f"{name}.md").read_text().startswith(f"# Drill {name}\n")
    (executed,) = [event for event in tc.events(run_id) if event["event"] == "failure_drill_executed"]
    assert executed["payload"]["verdict"] == "pass"
    for each in record.blast_radius:
        assert tc("run", "show", each, "--json").document["acknowledged"]["actor"] == "drill"
    assert record.blast_radius == (record.control.run_id, run_id)
    for each in record.blast_radius:
        assert tc("run", "verify", each).code == 0

    again = tc("drill", "judge", run_id, "--json")
    assert (again.code, again.document["judgement"]) == (0, document["judgement"])
    journal = tc("drill", "judge", run_id, "--format", "chaostoolkit").document
    assert (journal["status"], journal["deviated"], len(journal["run"])) == (
        "completed",
        False,
        len(record.judgement.times),
    )
    (row,) = [row for row in tc("drill", "list", "--json").document if row["name"] == name]
    assert (row["run_id"], row["verdict"], row["times_run"]) == (run_id, "pass", 1)
    assert bytes_below(finished_run) == before
    assert not living_in(tc.home)


class DrillProcess:
    """`tc drill run`, which goes on while the test does something to it."""

    def __init__(self, tc: Tc, name: str) -> None:
        self.tc = tc
        self.process = tc.start("drill", "run", name, "--json")

    def wait_for_fault(self) -> tuple[str, list[dict[str, Any]]]:
        """The run with the fault, after the fault has begun."""

        def run_id() -> str | None:
            names = [path.name for path in (self.tc.home / "artifacts" / "runs").glob("*-fault")]
            events = self.tc.events(names[0]) if names else []
            return names[0] if any(event["event"] == "fault_started" for event in events) else None

        def began() -> bool:
            assert self.process.poll() is None, self.process.communicate()
            return run_id() is not None

        wait_until(began, "the fault", END_SECONDS)
        found = run_id()
        assert found
        return found, self.tc.events(found)


def fault_end(tc: Tc, run_id: str) -> str | None:
    ends = [event["payload"]["reason"] for event in tc.events(run_id) if event["event"] == "fault_ended"]
    return ends[0] if ends else None


def test_an_interrupted_drill_ends_the_fault_and_the_run_and_records_what_it_has(tc: Tc) -> None:
    drill = DrillProcess(tc, "stale-market-data")
    run_id, _ = drill.wait_for_fault()
    drill.process.send_signal(signal.SIGINT)
    out, err = drill.process.communicate(timeout=END_SECONDS)
    assert drill.process.returncode == 130, err
    document = json.loads(out)
    assert (document["status"], document["reason"], document["judgement"]["verdict"]) == (
        "interrupted",
        "SIGINT",
        "unknown",
    )
    assert document["run_id"] == run_id
    assert fault_end(tc, run_id) == "stopped"
    assert tc("run", "verify", run_id).code == 0
    assert tc("drill", "judge", run_id).code == 130
    assert not living_in(tc.home)


def test_a_drill_that_is_interrupted_before_its_run_exists_has_no_record(tc: Tc) -> None:
    context = open_context(str(tc.home))
    plan = plan_drill(context, DRILLS["disconnect"], None, "test")
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            run_drill(context, plan, signals, lambda _kind, _text: None)
    assert not [path for path in tc.home.rglob("*") if path.is_file() and "runs" in path.parts]
    assert not [pid for pid in living_in(tc.home) if pid != os.getpid()]


def test_without_the_state_that_it_needs_a_drill_breaks_nothing(tc: Tc, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that never has a position."""
    monkeypatch.setattr(drill_pass, "STEADY_SECONDS", 20.0)
    spec = Path(tc.spec(strategy="ops_smoke_demo", mode="paper", paper={"speed": 120, "max_bars": 40_000}))
    context = open_context(str(tc.home))
    plan = plan_drill(context, DRILLS["stale-market-data"], spec, "test")
    with StopSignals() as signals:
        record, run_id = run_drill(context, plan, signals, lambda _kind, _text: None)
    assert (record.status, record.judgement.verdict, record.fault) == ("completed", "unknown", None)
    assert "did not reach the required state" in str(record.reason)
    assert tc("drill", "judge", run_id).code == 3


def test_a_drill_that_is_killed_leaves_no_fault_and_no_run(tc: Tc) -> None:
    drill = DrillProcess(tc, "stale-market-data")
    run_id, _ = drill.wait_for_fault()
    drill.process.kill()
    drill.process.communicate(timeout=END_SECONDS)
    wait_until(lambda: not living_in(tc.home), "the end of the run", END_SECONDS)
    assert fault_end(tc, run_id) == "client_disconnected"
    shown = tc("run", "show", run_id, "--json").document
    assert (shown["status"], shown["ended_by"], shown["paper"]["final_account"]["flat"]) == (
        "interrupted",
        "SIGTERM",
        True,
    )
    assert tc("run", "verify", run_id).code == 0


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        (StopConditions(max_position=Decimal(0)), "the position is "),
        (StopConditions(max_seconds=6), "the pass took longer than 6 s"),
    ],
    ids=["position", "time"],
)
def test_a_stop_condition_aborts_and_leaves_a_run_that_is_whole(
    tc: Tc, conditions: StopConditions, reason: str
) -> None:
    context = open_context(str(tc.home))
    plan = plan_drill(context, DRILLS["stale-market-data"], None, "test")
    with StopSignals() as signals:
        record, run_id = run_drill(context, plan, signals, lambda _kind, _text: None, conditions=conditions)
    assert (record.status, record.judgement.verdict) == ("aborted", "unknown")
    assert str(record.reason).startswith(reason)
    assert tc("run", "verify", run_id).code == 0
    assert tc("drill", "judge", run_id).code == 3
    assert not [pid for pid in living_in(tc.home) if pid != os.getpid()]


def test_on_a_full_disk_no_drill_begins(tc: Tc) -> None:
    context = open_context(str(tc.home))
    plan = plan_drill(context, DRILLS["stale-market-data"], None, "test")
    conditions = StopConditions(min_free_bytes=1 << 60)
    with StopSignals() as signals, pytest.raises(Environment, match="the disk of the home has "):
        run_drill(context, plan, signals, lambda _kind, _text: None, conditions=conditions)
    assert not (tc.home / "artifacts").exists()


def test_an_active_kill_switch_ends_a_drill_before_anything_is_broken(tc: Tc) -> None:
    tc.ok("kill", "activate", "--all", "--reason", "test")
    answer = tc.process("drill", "run", "disconnect", "--json")
    document = answer.document
    assert (answer.code, document["judgement"]["verdict"], document["fault"]) == (3, "unknown", None)
    assert "safety_blocked" in document["reason"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("drill", "run", "disconect"), 2, "did you mean disconnect?"),
        (("drill", "run"), 2, "needs the name of a drill, or --all"),
        (("drill", "run", "disconnect", "--all"), 2, "needs the name of a drill, or --all"),
        (("drill", "run", "engine-hang", "--seconds", "60"), 2, "the lab itself ends it"),
        (("drill", "run", "disconnect", "--seconds", "1801"), 2, "not between 0 and 1800"),
        (("drill", "run", "disconnect", "--spec", "missing.yaml"), 5, "missing.yaml"),
        (("drill", "judge", "no-such-run"), 5, "not found"),
        (("drill", "judge", "r1"), 5, "is not of a drill"),
    ],
)
def test_a_mistake_has_one_message_and_writes_nothing(
    tc: Tc, finished_run: Path, words: tuple[str, ...], code: int, text: str
) -> None:
    before = bytes_below(finished_run)
    answer = tc(*words)
    assert (answer.code, text in answer.err) == (code, True), answer.err
    assert bytes_below(finished_run) == before
    assert [path.name for path in finished_run.parent.iterdir()] == ["r1"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"mode": "backtest"}, "tc run backtest"), ({"mode": "paper", "paper": {"on_stop": "leave"}}, "on_stop: flatten")],
)
def test_a_spec_that_no_drill_can_use_is_refused(tc: Tc, changes: dict[str, Any], text: str) -> None:
    answer = tc("drill", "run", "disconnect", "--spec", tc.spec(strategy="order_lifecycle_demo", **changes))
    assert (answer.code, text in answer.err) == (2, True), answer.err


def test_without_the_dataset_the_next_step_is_named(bare_tc: Tc) -> None:
    answer = bare_tc("drill", "run", "disconnect")
    assert answer.code == 5
    assert "tc data prepare --dataset btcusdt-sample" in answer.err
    assert not (bare_tc.home / "artifacts").exists()


def test_a_changed_record_is_not_judged(tc: Tc) -> None:
    answer = tc.process("drill", "run", "stale-orderbook", "--json")
    run_id = answer.document["run_id"]
    file = tc.run_folder(run_id) / "drills" / "stale-orderbook.json"
    file.write_bytes(file.read_bytes().replace(b'"detect": 4', b'"detect": 9'))
    judged = tc("drill", "judge", run_id)
    assert judged.code == 6
    assert f"tc run verify {run_id}" in judged.err
    assert tc("run", "verify", run_id).code == 6

"""The exit code of a run's command and the lines for the operator, from the metadata alone."""

from typing import Any, get_args

import pytest

from opslab.cli.run.follow_up import exit_code, follow_ups
from opslab.model.run.metadata import FINAL, RunMetadata
from opslab.model.run.paper_summary import Latencies, PaperFacts
from opslab.model.run.run_counters import Reconciled, Reconciliations
from opslab.reconciliation.result import EXIT_CODES
from tests.fakes.run_payloads import INTENT

SWITCH: dict[str, Any] = {
    "state": "active",
    "scope": "all",
    "file": "runtime/kill_switch/all.json",
    "reason": "drill",
    "actor": "ops",
    "activated_at": "2026-01-01T00:00:00Z",
    "observed_by": "start_gate",
    "checked_at": "2026-01-01T00:00:01Z",
}


def run(status: str, **changes: Any) -> RunMetadata:
    known = {name: value for name, value in INTENT.items() if name in RunMetadata.model_fields}
    values = {**known, "initialized_at": "2026-01-01T00:00:00Z", "status": status, **changes}
    return RunMetadata.model_validate(values, strict=False)


def reconciled(state: Reconciled | None) -> PaperFacts:
    return PaperFacts(
        engines=(),
        restarts=0,
        bars_expected=3,
        bars_seen=3,
        bars_missed=0,
        heartbeats=1,
        dropped_heartbeats=0,
        feeds={},
        reconciliations=Reconciliations(),
        final_reconciliation=state,
        final_account=None,
        stop=None,
        latencies=Latencies(),
    )


@pytest.mark.parametrize(
    ("metadata", "code", "lines"),
    [
        (run("completed"), 0, []),
        (
            run("failed", failure={"kind": "engine", "message": "it broke"}),
            1,
            ["error: run r1 failed: it broke", "hint: tc run show r1, and artifacts/runs/r1/report.md"],
        ),
        (
            run("safety_blocked", safety=SWITCH),
            4,
            [
                "error: run r1 was kept from starting: the kill switch of all runs is active since "
                "2026-01-01T00:00:00Z, by ops: drill",
                "hint: tc kill status --all; when runs may start again: tc kill clear --all --reason TEXT",
            ],
        ),
        (
            run("halted", safety={**SWITCH, "scope": "run"}),
            4,
            [
                "run r1 was halted: the kill switch of the run is active since 2026-01-01T00:00:00Z, by ops: drill",
                "hint: tc kill status --run-id r1; docs/runbooks/kill-switch.md",
            ],
        ),
        (
            run("interrupted", ended_by="SIGINT"),
            130,
            ["run r1 was interrupted by SIGINT; its results so far are kept"],
        ),
    ],
    ids=lambda value: value.status if isinstance(value, RunMetadata) else "",
)
def test_each_end_has_its_exit_code_and_next_step(metadata: RunMetadata, code: int, lines: list[str]) -> None:
    assert (exit_code(metadata), list(follow_ups(metadata))) == (code, lines)


@pytest.mark.parametrize("state", [*get_args(Reconciled), None])
def test_a_completed_paper_run_exits_by_its_final_reconciliation(state: Reconciled | None) -> None:
    metadata = run("completed", mode="paper").model_copy(update={"paper": reconciled(state)})
    code = EXIT_CODES[state] if state else 0
    assert exit_code(metadata) == code
    lines = list(follow_ups(metadata))
    assert bool(lines) == bool(code)
    assert not lines or lines[0] == f"run r1 completed, and its final reconciliation is {state}"


def test_every_final_status_has_an_exit_code() -> None:
    for status in FINAL:
        assert exit_code(run(status)) in (0, 1, 4, 130)


WARNINGS = [{"code": "bars_missed", "text": "2 bars", "count": 2, "first": None}]


@pytest.mark.parametrize(
    ("metadata", "strict", "code"),
    [
        (run("completed", warnings=WARNINGS), False, 0),
        (run("completed", warnings=WARNINGS), True, 1),
        (run("completed"), True, 0),
        (run("completed", warnings=WARNINGS, paper=reconciled("unknown")), True, EXIT_CODES["unknown"]),
        (run("halted", warnings=WARNINGS), True, 4),
        (run("interrupted", warnings=WARNINGS), True, 130),
    ],
)
def test_strict_turns_exit_0_of_a_run_with_warnings_into_1(metadata: RunMetadata, strict: bool, code: int) -> None:
    assert exit_code(metadata, strict=strict) == code
    if code == 1:
        assert "--strict" in next(follow_ups(metadata, strict=strict))

"""`tc reconcile`: compare the expected state of an account with the observed one."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result, result_fields, result_json, result_table
from opslab.cli.plain_command import PlainGroup

if TYPE_CHECKING:
    from opslab.context import Context
    from opslab.lab.reconcile.check import (
        Limits,
        ReconciliationFinding,
        ReconciliationResult,
        RecordedReconciliation,
        SnapshotSummary,
        State,
    )

app = typer.Typer(cls=PlainGroup, help="Compare expected and observed account state.", no_args_is_help=True)

_MAX_SHOWN = 20
"""Findings that are printed; `--json` has more."""
_MAX_SECONDS = 10_000_000_000

RunIdOption = Annotated[str | None, typer.Option("--run-id", metavar="ID", help="Run to which the two files belong.")]
Expected = Annotated[
    Path | None,
    typer.Option("--expected", metavar="FILE", help="Snapshot of the expected state, a JSON file.", show_default=False),
]
Observed = Annotated[
    Path | None,
    typer.Option("--observed", metavar="FILE", help="Snapshot of the observed state, a JSON file.", show_default=False),
]
FromRun = Annotated[
    str | None,
    typer.Option(
        "--from-run", metavar="ID", help="Instead of two files: a heartbeat in the journal of this paper run."
    ),
]
HeartbeatOption = Annotated[
    int | None,
    typer.Option(
        "--heartbeat",
        metavar="N",
        min=1,
        help="seq of the heartbeat's event; without it the last one that has the venue's account.",
    ),
]
MaxAge = Annotated[
    int,
    typer.Option("--max-age-seconds", metavar="N", min=1, max=_MAX_SECONDS, help="Maximum age of a snapshot."),
]
MaxApart = Annotated[
    int,
    typer.Option(
        "--max-apart-seconds", metavar="N", min=0, max=_MAX_SECONDS, help="Maximum time between the two snapshots."
    ),
]
Tolerance = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="FIELD=VALUE",
        help="Tolerance of average_entry_price, total, free or locked. Repeatable.",
    ),
]


@app.command()
def check(
    run_id: RunIdOption = None,
    expected: Expected = None,
    observed: Observed = None,
    from_run: FromRun = None,
    heartbeat: HeartbeatOption = None,
    max_age: MaxAge = 300,
    max_apart: MaxApart = 60,
    tolerance: Tolerance = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare two snapshots of an account.

    Compares positions, open orders, balances and freshness, and records the result in the run. The snapshots are two
    files, or the accounts of node and venue at a heartbeat of a paper run.
    """
    from opslab.lab.context import open_context
    from opslab.lab.reconcile.check import EXIT_CODES, limits_of, reconcile_heartbeat

    context = open_context(home)
    limits = limits_of(max_age, max_apart, tolerance or [])
    if from_run is not None:
        _refuse_with_from_run(run_id, expected, observed)
        reconciliation = reconcile_heartbeat(context, from_run, heartbeat, limits)
    else:
        reconciliation = _reconcile_files(context, run_id, expected, observed, heartbeat, limits)
    outcome, recorded = reconciliation.result, reconciliation.recorded
    if as_json:
        result_json({**outcome.model_dump(mode="json"), **asdict(recorded)})
    else:
        _show(outcome)
    note(f"recorded in run {outcome.run_id} as {recorded.artifact}")
    if from_run is None and outcome.expected.digest == outcome.observed.digest:
        note("expected and observed are the same document: this proves nothing about the account")
    raise typer.Exit(EXIT_CODES[outcome.state])


def _refuse_with_from_run(run_id: str | None, expected: Path | None, observed: Path | None) -> None:
    from opslab.errors import Usage

    given = {"--run-id": run_id, "--expected": expected, "--observed": observed}
    excluded = [name for name, value in given.items() if value is not None]
    if excluded:
        raise Usage(
            f"--from-run cannot be combined with {', '.join(excluded)}",
            hint="--from-run ID reads both sides from the journal of the run",
        )


def _reconcile_files(
    context: "Context",
    run_id: str | None,
    expected: Path | None,
    observed: Path | None,
    heartbeat: int | None,
    limits: "Limits",
) -> "RecordedReconciliation":
    from opslab.errors import Usage
    from opslab.lab.reconcile.check import reconcile_files

    if heartbeat is not None:
        raise Usage("--heartbeat requires --from-run", hint="tc reconcile check --from-run ID --heartbeat N")
    if run_id is None or expected is None or observed is None:
        given = {"--run-id": run_id, "--expected": expected, "--observed": observed}
        missing = [name for name, value in given.items() if value is None]
        raise Usage(
            f"missing option {', '.join(missing)}",
            hint="or --from-run ID, which reads both sides from the journal of the run",
        )
    return reconcile_files(context, run_id, expected, observed, limits)


@app.command()
def schema(
    as_json: Annotated[bool, typer.Option("--json", help="No effect: the schema is always JSON.")] = False,
) -> None:
    """Print the JSON Schema of a snapshot."""
    from opslab.lab.reconcile.schema import snapshot_schema

    result_json(snapshot_schema())


def _show(outcome: "ReconciliationResult") -> None:
    heartbeat = f"{outcome.heartbeat}, at {outcome.checked_at}" if outcome.heartbeat is not None else None
    result_fields(
        [
            ("run", outcome.run_id),
            ("heartbeat", heartbeat),
            ("state", outcome.state),
            ("expected", _snapshot(outcome.expected)),
            ("observed", _snapshot(outcome.observed)),
            ("findings", _counts(outcome.counts)),
            ("in flight", _in_flight(outcome)),
            ("not compared", ", ".join(outcome.not_compared) or None),
        ]
    )
    problems = [finding for finding in outcome.findings if finding.state != "ok"]
    if problems:
        result("")
        headings = ("STATE", "PART", "SUBJECT", "FIELD", "EXPECTED", "OBSERVED", "DIFFERENCE", "REASON")
        result_table(headings, [_row(finding) for finding in problems[:_MAX_SHOWN]])
    total = sum(count for state, count in outcome.counts.items() if state != "ok")
    if total > _MAX_SHOWN:
        note(f"and {total - _MAX_SHOWN} more; the artifact lists the worst")


def _in_flight(outcome: "ReconciliationResult") -> str | None:
    items = outcome.in_flight[:_MAX_SHOWN]
    return ", ".join(f"{item.kind} {item.client_order_id} for {item.age_seconds} s" for item in items) or None


def _row(finding: "ReconciliationFinding") -> tuple[str, ...]:
    reason = f"{finding.reason} ({finding.snapshot})" if finding.snapshot else finding.reason
    values = (finding.subject, finding.field, finding.expected, finding.observed, finding.difference)
    return (finding.state, finding.part, *(value or "-" for value in values), reason)


def _snapshot(summary: "SnapshotSummary") -> str:
    sizes = [("positions", summary.positions), ("open orders", summary.open_orders), ("balances", summary.balances)]
    parts = ", ".join(f"{name} {'-' if size is None else size}" for name, size in sizes)
    return f"{summary.as_of or 'no time'}, {parts}"


def _counts(counts: "Mapping[State, int]") -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())

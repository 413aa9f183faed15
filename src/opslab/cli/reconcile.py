"""`tc reconcile`: expected against observed state of an account."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result, result_fields, result_json, result_table

if TYPE_CHECKING:
    from opslab.lab import Lab
    from opslab.reconciliation.result import ReconciliationFinding, Limits, ReconciliationResult, SnapshotSummary, State
    from opslab.runs.checks.reconciliation import RecordedReconciliation

app = typer.Typer(help="Hold an account's expected state against the observed one.", no_args_is_help=True)

_SHOWN = 20
"""Findings that are listed; `--json` has more."""
_MOST_SECONDS = 10_000_000_000

RunIdOption = Annotated[
    str | None, typer.Option("--run-id", metavar="ID", help="The run that the account of two files belongs to.")
]
Expected = Annotated[
    Path | None,
    typer.Option("--expected", metavar="FILE", help="Snapshot of what should be, a JSON file.", show_default=False),
]
Observed = Annotated[
    Path | None,
    typer.Option("--observed", metavar="FILE", help="Snapshot of what is, a JSON file.", show_default=False),
]
FromRun = Annotated[
    str | None,
    typer.Option("--from-run", metavar="ID", help="Instead of two files: a heartbeat in this paper run's journal."),
]
HeartbeatOption = Annotated[
    int | None,
    typer.Option(
        "--heartbeat",
        metavar="N",
        min=1,
        help="Which one: seq of its event in the journal; without it the last that has what the venue said.",
    ),
]
MaxAge = Annotated[
    int,
    typer.Option("--max-age-seconds", metavar="N", min=1, max=_MOST_SECONDS, help="How old a snapshot may be."),
]
MaxApart = Annotated[
    int,
    typer.Option(
        "--max-apart-seconds", metavar="N", min=0, max=_MOST_SECONDS, help="How far apart the two may have been taken."
    ),
]
Tolerance = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="FIELD=VALUE",
        help="How far average_entry_price, total, free or locked may differ; may be given several times.",
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
    """Compare two snapshots of an account: positions, open orders, balances, freshness; kept with the run.

    The two are files, or what a node believed and its venue said at a heartbeat of a paper run.
    """
    from opslab.lab import open_lab
    from opslab.reconciliation.limits import limits_of
    from opslab.reconciliation.result import EXIT_CODES

    lab = open_lab(home)
    limits = limits_of(max_age, max_apart, tolerance or [])
    if from_run is not None:
        _refuse_with_from_run(run_id, expected, observed)
        done = lab.reconcile_heartbeat(from_run, heartbeat, limits)
    else:
        done = _reconcile_files(lab, run_id, expected, observed, heartbeat, limits)
    found, kept = done.result, done.recorded
    if as_json:
        result_json({**found.model_dump(mode="json"), **asdict(kept)})
    else:
        _show(found)
    note(f"kept with run {found.run_id} as {kept.artifact}")
    if from_run is None and found.expected.digest == found.observed.digest:
        note("expected and observed are the same document: that proves nothing of an account")
    raise typer.Exit(EXIT_CODES[found.state])


def _refuse_with_from_run(run_id: str | None, expected: Path | None, observed: Path | None) -> None:
    from opslab.errors import Usage

    given = {"--run-id": run_id, "--expected": expected, "--observed": observed}
    unwanted = [name for name, value in given.items() if value is not None]
    if unwanted:
        raise Usage(
            f"--from-run cannot be combined with {', '.join(unwanted)}",
            hint="--from-run ID takes both sides from that run's journal",
        )


def _reconcile_files(
    lab: "Lab",
    run_id: str | None,
    expected: Path | None,
    observed: Path | None,
    heartbeat: int | None,
    limits: "Limits",
) -> "RecordedReconciliation":
    from opslab.errors import Usage

    if heartbeat is not None:
        raise Usage("--heartbeat is of a run's journal", hint="tc reconcile check --from-run ID --heartbeat N")
    if run_id is None or expected is None or observed is None:
        given = {"--run-id": run_id, "--expected": expected, "--observed": observed}
        missing = [name for name, value in given.items() if value is None]
        raise Usage(f"missing option {', '.join(missing)}", hint="or --from-run ID: both sides from a run's journal")
    return lab.reconcile(run_id, expected, observed, limits)


@app.command()
def schema(
    as_json: Annotated[bool, typer.Option("--json", help="The schema is JSON with or without it.")] = False,
) -> None:
    """Print the JSON Schema of a snapshot."""
    from opslab.reconciliation.schema import snapshot_schema

    result_json(snapshot_schema())


def _show(found: "ReconciliationResult") -> None:
    result_fields(
        [
            ("run", found.run_id),
            ("heartbeat", f"{found.heartbeat}, at {found.checked_at}" if found.heartbeat is not None else None),
            ("state", found.state),
            ("expected", _snapshot(found.expected)),
            ("observed", _snapshot(found.observed)),
            ("findings", _counts(found.counts)),
            ("in flight", _in_flight(found)),
            ("not compared", ", ".join(found.not_compared) or None),
        ]
    )
    told = [one for one in found.findings if one.state != "ok"]
    if told:
        result("")
        headings = ("STATE", "PART", "SUBJECT", "FIELD", "EXPECTED", "OBSERVED", "DIFFERENCE", "REASON")
        result_table(headings, [_row(one) for one in told[:_SHOWN]])
    total = sum(count for state, count in found.counts.items() if state != "ok")
    if total > _SHOWN:
        note(f"and {total - _SHOWN} more; the artifact lists the worst")


def _in_flight(found: "ReconciliationResult") -> str | None:
    told = [f"{one.kind} {one.client_order_id} for {one.age_seconds} s" for one in found.in_flight[:_SHOWN]]
    return ", ".join(told) or None


def _row(one: "ReconciliationFinding") -> tuple[str, ...]:
    reason = f"{one.reason} ({one.snapshot})" if one.snapshot else one.reason
    values = (one.subject, one.field, one.expected, one.observed, one.difference)
    return (one.state, one.part, *(value or "-" for value in values), reason)


def _snapshot(one: "SnapshotSummary") -> str:
    rows = [("positions", one.positions), ("open orders", one.open_orders), ("balances", one.balances)]
    return f"{one.as_of or 'no time'}, {', '.join(f'{name} {"-" if size is None else size}' for name, size in rows)}"


def _counts(counts: "Mapping[State, int]") -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())

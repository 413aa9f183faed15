"""`tc reconcile`: expected against observed state of an account."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result, result_fields, result_json, result_table

if TYPE_CHECKING:
    from opslab.reconciliation.result import Finding, ReconciliationResult, SnapshotSummary, State

app = typer.Typer(help="Hold an account's expected state against the observed one.", no_args_is_help=True)

_SHOWN = 20
"""Findings that are listed; `--json` has more."""
_MOST_SECONDS = 10_000_000_000

RunIdOption = Annotated[str, typer.Option("--run-id", metavar="ID", help="The run that the account belongs to.")]
Expected = Annotated[
    Path,
    typer.Option("--expected", metavar="FILE", help="Snapshot of what should be, a JSON file.", show_default=False),
]
Observed = Annotated[
    Path, typer.Option("--observed", metavar="FILE", help="Snapshot of what is, a JSON file.", show_default=False)
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
    run_id: RunIdOption,
    expected: Expected,
    observed: Observed,
    max_age: MaxAge = 300,
    max_apart: MaxApart = 60,
    tolerance: Tolerance = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare two snapshots of an account: positions, open orders, balances, freshness; kept with the run."""
    from opslab.lab import open_lab
    from opslab.reconciliation.limits import limits_of
    from opslab.reconciliation.result import EXIT_CODES

    lab = open_lab(home)
    limits = limits_of(max_age, max_apart, tolerance or [])
    done = lab.reconcile(run_id, expected, observed, limits)
    found, kept = done.result, done.recorded
    if as_json:
        result_json({**found.model_dump(mode="json"), **asdict(kept)})
    else:
        _show(found)
    note(f"kept with run {found.run_id} as {kept.artifact}")
    if found.expected.digest == found.observed.digest:
        note("expected and observed are the same document: that proves nothing of an account")
    raise typer.Exit(EXIT_CODES[found.state])


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
            ("state", found.state),
            ("expected", _snapshot(found.expected)),
            ("observed", _snapshot(found.observed)),
            ("findings", _counts(found.counts)),
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


def _row(one: "Finding") -> tuple[str, ...]:
    reason = f"{one.reason} ({one.snapshot})" if one.snapshot else one.reason
    values = (one.subject, one.field, one.expected, one.observed, one.difference)
    return (one.state, one.part, *(value or "-" for value in values), reason)


def _snapshot(one: "SnapshotSummary") -> str:
    rows = [("positions", one.positions), ("open orders", one.open_orders), ("balances", one.balances)]
    return f"{one.as_of or 'no time'}, {', '.join(f'{name} {"-" if size is None else size}' for name, size in rows)}"


def _counts(counts: "Mapping[State, int]") -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())

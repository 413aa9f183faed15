"""`tc run list`: which runs there are, and how they stand."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result_json, result_table

if TYPE_CHECKING:
    from opslab.lab.run.listing import Page, Row, Selection

Status = Annotated[
    list[str] | None, typer.Option("--status", metavar="STATUS", help="Those in this status. Repeatable.")
]
Mode = Annotated[str | None, typer.Option("--mode", metavar="backtest|paper", help="Those of this mode.")]
Dataset = Annotated[str | None, typer.Option("--dataset", metavar="NAME", help="Those on this dataset.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Those initialized since: a UTC time such as 2026-01-31, or 24h, 7d."),
]
InputDigest = Annotated[
    str | None,
    typer.Option("--input-digest", metavar="PREFIX", help="Those whose input digest begins so (4 hex digits or more)."),
]
Unacknowledged = Annotated[bool, typer.Option("--unacknowledged", help="Those that have to be acknowledged.")]
Sort = Annotated[
    str, typer.Option("--sort", metavar="KEY", help="initialized, run-id, status, mode, dataset, bars or duration.")
]
Reverse = Annotated[bool, typer.Option("--reverse", help="The other way round.")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many.")]
Offset = Annotated[int, typer.Option("--offset", metavar="N", min=0, help="Leave out so many first.")]

_HEADINGS = ("RUN", "MODE", "STATUS", "INITIALIZED (UTC)", "DURATION", "BARS", "DATASET", "RESULT DIGEST")
_NUMBERS = (4, 5)
_WHICH = " (tc run list --unacknowledged lists them)"


def list_runs(
    status: Status = None,
    mode: Mode = None,
    dataset: Dataset = None,
    since: Since = None,
    input_digest: InputDigest = None,
    unacknowledged: Unacknowledged = False,
    sort: Sort = "initialized",
    reverse: Reverse = False,
    limit: Limit = None,
    offset: Offset = 0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List runs, oldest first.

    Unreadable runs come last; filters exclude them.
    """
    from opslab.lab.context import open_context
    from opslab.lab.run import listing
    from opslab.lab.run.listing import MODES, SORT_KEYS, STATUSES, Selection, one_of, parse_digest_prefix, parse_since
    from opslab.model.primitives.ids import DatasetId

    context = open_context(home)
    wanted = Selection(
        statuses=frozenset(one_of("--status", text, STATUSES) for text in status or ()),
        mode=None if mode is None else one_of("--mode", mode, MODES),
        dataset=None if dataset is None else DatasetId(dataset),
        since=None if since is None else parse_since(since, context.clock.now_ns()),
        input_digest=None if input_digest is None else parse_digest_prefix(input_digest),
        unacknowledged=unacknowledged,
        sort=one_of("--sort", sort, tuple(SORT_KEYS)),
        reverse=reverse,
        offset=offset,
        limit=limit,
    )
    page = listing.list_runs(context, wanted)
    if as_json:
        runs = [_document(row) for row in page.rows]
        result_json({"runs": runs, "total": page.total, "offset": offset, "limit": limit})
        return
    if page.rows:
        result_table(_HEADINGS, [_cells(row) for row in page.rows], right=_NUMBERS)
    _explain(page, wanted, str(context.layout.home))


def _document(row: "Row") -> dict[str, Any]:
    folder = f"artifacts/runs/{row.run_id}"
    if row.error is not None:
        return {"run_id": row.run_id, "status": None, "error": row.error, "folder": folder}
    fields = row._asdict()
    del fields["error"], fields["error_brief"]
    fields["folder"] = folder
    return fields


def _cells(row: "Row") -> tuple[str, ...]:
    if row.error is not None:
        return (row.run_id, "", "unreadable", "", "", "", "", row.error_brief or row.error)
    return (
        row.run_id,
        row.mode or "",
        row.status or "",
        (row.initialized_at or "")[:19],
        duration_text(row.duration_seconds),
        f"{row.bars_seen:,}" if row.bars_seen is not None else "",
        row.dataset or "",
        (row.result_digest or "")[:19],
    )


def duration_text(seconds: float | None) -> str:
    """`0.8 s`, `4 min 05 s`, `2 h 13 min`; empty when unknown."""
    if seconds is None or seconds < 0:
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"


def _explain(page: "Page", wanted: "Selection", home: str) -> None:
    """Notes about rows that the table does not show."""
    if page.runs == 0:
        note(f"no runs in {home}")
        note("hint: tc run backtest --spec FILE")
        return
    if page.total == 0:
        note(f"none of the {page.runs:,} {'runs' if page.runs > 1 else 'run'} in {home} matches")
    elif not page.rows:
        note(f"nothing at offset {wanted.offset:,}: {page.total:,} {'runs' if page.total > 1 else 'run'} in all")
    elif len(page.rows) < page.total:
        first = wanted.offset + 1
        note(f"runs {first:,} to {first + len(page.rows) - 1:,} of {page.total:,}")
    if wanted.has_filters and page.unreadable:
        note(f"{page.unreadable:,} unreadable runs match no filter: tc run list shows them")
    unsettled = sum(row.unsettled for row in page.rows)
    if unsettled:
        runs = "run" if unsettled == 1 else "runs"
        note(f"{unsettled:,} {runs} ended without a final event; settle with: tc run recover --all")
    if page.unacknowledged:
        runs, which = "run is" if page.unacknowledged == 1 else "runs are", "" if wanted.unacknowledged else _WHICH
        note(f"{page.unacknowledged:,} {runs} not acknowledged{which}; hint: tc run acknowledge ID --reason TEXT")

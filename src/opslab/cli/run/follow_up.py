"""After a run, of either mode: the exit code of its command, and what an operator may do next."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import typer

from opslab.cli.output import note, result_json
from opslab.cli.run.fields import document, folder_of, show_fields

if TYPE_CHECKING:
    from opslab.context import Context
    from opslab.model.journal.journal_event import RecordedEvent
    from opslab.model.run.metadata import RunMetadata


def end(context: "Context", run: "RunMetadata", *, strict: bool, as_json: bool) -> NoReturn:
    """Show the run and what may follow, and exit by its status."""
    if as_json:
        result_json(document(context, run))
    else:
        show_fields(run)
    for line in follow_ups(run, strict=strict):
        note(line)
    raise typer.Exit(exit_code(run, strict=strict))


def note_unserved(recorded: "RecordedEvent") -> None:
    """Observe a running run: note a subscription that it cannot serve, when its strategy makes it."""
    from opslab.model.journal.engine_events import SubscriptionUnserved

    match recorded.event:
        case SubscriptionUnserved(code=code, kind=kind, subject=subject):
            note(f"warning: {code}: {kind} {subject}")


def exit_code(run: "RunMetadata", *, strict: bool = False) -> int:
    """By the status; a completed paper run exits by its final reconciliation.

    strict: 1 instead of 0 when the run has warnings.
    """
    code = _exit_code(run)
    return 1 if strict and not code and run.warnings else code


def _exit_code(run: "RunMetadata") -> int:
    if run.status == "completed" and run.paper and run.paper.final_reconciliation:
        from opslab.lab.run.paper import EXIT_CODES as BY_RECONCILIATION

        return BY_RECONCILIATION[run.paper.final_reconciliation]
    from opslab.model.run.metadata import EXIT_CODES

    return EXIT_CODES[run.status]


def follow_ups(run: "RunMetadata", *, strict: bool = False) -> Iterator[str]:
    """Lines for the operator: how the run ended, and a hint of the next step; none after a normal end."""
    if run.failure:
        yield f"error: run {run.run_id} failed: {run.failure.message}"
        yield f"hint: tc run show {run.run_id}, and {folder_of(run)}/report.md"
    elif run.status == "safety_blocked":
        from opslab.lab.run.safety import refusal

        failure = refusal(run)
        yield f"error: {failure.message}"
        yield f"hint: {failure.hint}"
    elif run.status == "halted":
        from opslab.lab.run.safety import blocked_by, switch_option

        yield f"run {run.run_id} was halted: {blocked_by(run)}"
        yield f"hint: tc kill status {switch_option(run)}; docs/runbooks/kill-switch.md"
    elif run.status == "interrupted":
        yield f"run {run.run_id} was interrupted by {run.ended_by}; its results so far are kept"
    elif exit_code(run):
        found = run.paper.final_reconciliation if run.paper else "unknown"
        yield f"run {run.run_id} completed, and its final reconciliation is {found}"
        yield f"hint: docs/runbooks/reconciliation-mismatch.md, and {folder_of(run)}/reconciliation_result.json"
    elif exit_code(run, strict=strict):
        yield f"error: run {run.run_id} completed with {len(run.warnings)} warnings, and --strict allows none"
        yield f"hint: tc run show {run.run_id}, and docs/run.md#warnings"

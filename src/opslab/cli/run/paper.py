"""`tc run paper`: run a live node against the loopback venue."""

from typing import TYPE_CHECKING

import typer

from opslab.cli.options import Home, Json, RunIdOption, Spec
from opslab.cli.output import note, note_at_once, result_json
from opslab.cli.run.fields import EXIT_CODES, break_off, document, folder_of, show_fields
from opslab.cli.run.switch import note_blocked, note_halted

if TYPE_CHECKING:
    from opslab.model.run.metadata import RunMetadata


def paper(spec: Spec, run_id: RunIdOption = None, home: Home = None, as_json: Json = False) -> None:
    """Run a live node against a loopback venue.

    The venue replays candles to NautilusTrader's live node, which is monitored to its end.
    """
    from opslab.cli.run.paper_board import PaperBoard
    from opslab.lab.context import open_context
    from opslab.lab.run.paper import run_paper
    from opslab.lab.run.plan import make_plan
    from opslab.system import StopSignals

    context = open_context(home)
    with StopSignals() as signals:
        signals.on_signal = break_off
        plan = make_plan(context, spec, run_id, "paper")
        signals.announce, signals.on_signal = _announce, lambda _count: None
        if signals.name:
            raise KeyboardInterrupt
        speed = plan.spec.paper.speed
        pace = "at full speed" if speed == "max" else f"at {speed}x"
        note(f"run {plan.run_id}: {plan.spec.strategy.title} on {plan.rows:,} candles of {plan.dataset.name}, {pace}")
        with PaperBoard(plan.run_id) as board:
            metadata = run_paper(context, plan, signals, board.show)
    if as_json:
        result_json(document(context, metadata))
    else:
        show_fields(metadata)
    _note_end(metadata)
    raise typer.Exit(exit_code(metadata))


def exit_code(run: "RunMetadata") -> int:
    """A completed run exits by its final reconciliation."""
    if run.status == "completed" and run.paper and run.paper.final_reconciliation:
        from opslab.lab.run.paper import EXIT_CODES as BY_RECONCILIATION

        return BY_RECONCILIATION[run.paper.final_reconciliation]
    return EXIT_CODES[run.status]


def _note_end(run: "RunMetadata") -> None:
    if run.failure:
        note(f"error: run {run.run_id} failed: {run.failure.message}")
        note(f"hint: tc run show {run.run_id}, and {folder_of(run)}/report.md")
    elif run.status == "safety_blocked":
        note_blocked(run)
    elif run.status == "halted":
        note_halted(run)
    elif run.status == "interrupted":
        note(f"run {run.run_id} was interrupted by {run.ended_by}; its results so far are kept")
    elif exit_code(run):
        found = run.paper.final_reconciliation if run.paper else "unknown"
        note(f"run {run.run_id} completed, and its final reconciliation is {found}")
        note(f"hint: docs/runbooks/reconciliation-mismatch.md, and {folder_of(run)}/reconciliation_result.json")


def _announce(name: str, count: int) -> None:
    if count == 1:
        note_at_once(f"{name}: closing the gate and applying on_stop to the account; a second signal kills the engine")
    else:
        note_at_once(f"{name}: killing the engine; the venue closes what is open")

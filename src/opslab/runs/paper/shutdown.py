"""The end of a paper run: the account left as wanted, the results made from the venue's ledger, the last word."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.model.market.instrument import instrument_of
from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.model.primitives.ids import VenueId
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import Failure
from opslab.runs.lifecycle import RunContext
from opslab.runs.paper.closing_event import actions, closing
from opslab.runs.paper.results import write_results
from opslab.runs.paper.telemetry import RunTelemetry, is_flat
from opslab.runs.paper.venue_supervisor import VenueSupervisor
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.venue_folder import drop_venue, keep_venue
from opslab.runs.record.run_journal import RunJournal
from opslab.store.runs.run_folders import RowsFile


@dataclass(frozen=True, slots=True)
class FinalAccount:
    """How the account was left."""

    statement: AccountSnapshot | None
    """The venue's last word on it."""
    halt: HaltFacts | None = None
    """Of a run that the kill switch stopped."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How it came to its end."""

    reason: StopReason
    failure: Failure | None
    signal: str | None
    left: FinalAccount
    minutes: int | None
    """Candles that the venue had closed when it came to its end; None: it could not be asked."""


def record_final_account(
    log: RunJournal, statement: AccountSnapshot | None, by: str, reason: StopReason, **more: Any
) -> None:
    """What the venue says of the account once it was flattened, whoever did it."""
    account = statement.account if statement else None
    said = account.model_dump() if account else None
    orders = len(account.open_orders or ()) if account else None
    log.tell("orders_canceled", {"by": by, "reason": reason, "open_orders": orders, **more})
    flat = is_flat(statement) if statement else None
    log.tell("positions_flattened", {"by": by, "reason": reason, "flat": flat, "venue": said})


def apply_on_stop(
    plan: PaperPlan, venue: VenueSupervisor, log: RunJournal, telemetry: RunTelemetry, reason: StopReason
) -> AccountSnapshot | None:
    """The engine is gone. What it left behind against `on_stop: flatten`, the venue ends; its word on the account.

    Where no engine could say that it was flat, the venue does, even if nothing was open.
    """
    statement = venue.statement()
    if plan.spec.paper.on_stop == "leave" or statement is None or (telemetry.was_left and is_flat(statement)):
        return statement
    done = venue.flatten(reason)
    if done is None:
        return venue.statement()
    statement = AccountSnapshot.model_validate(done["statement"], strict=False)
    record_final_account(log, statement, "venue", reason, canceled=done["canceled"], closed=done["closed"])
    telemetry.left("venue")
    return statement


def end_run(
    plan: PaperPlan,
    folder: Path,
    context: RunContext,
    log: RunJournal,
    telemetry: RunTelemetry,
    end: RunEnd,
    bars: RowsFile,
) -> None:
    """Write what there is and say how it ended. The venue has stopped: its ledger is whole."""
    keep_venue(context.layout.venue(VenueId(plan.run_id)), folder, context.redact)
    counts, artifacts = write_results(folder, telemetry.orders, instrument_of(plan.symbol))
    artifacts[bars.name] = bars.commit()
    drop_venue(context.layout, plan.run_id)
    payload = closing(
        folder,
        counts.counters(
            bars_seen=telemetry.bars(None), actions=actions(telemetry.actions(), counts, plan.spec.strategy.named())
        ),
        {**counts.denial_reasons, **telemetry.gated()},
        artifacts,
        telemetry.facts(end.left.statement, end.minutes, counts),
        elapsed_seconds=telemetry.elapsed_seconds(),
        peak_memory_bytes=telemetry.peak_memory_bytes,
        metrics=plan.spec.observability.metrics,
    )
    halt = end.left.halt
    if halt:
        payload["halt"] = halt.model_dump(mode="json")
    failure = (None if halt else end.failure) or _not_left(plan, end.left)
    if failure:
        reason = {"ended_by": end.reason} if halt else {}
        log.tell("run_failed", {**payload, **reason, "failure": failure.model_dump()})
    elif halt:
        log.tell("run_halted", {**payload, "ended_by": end.reason, "result_digest": None})
    elif end.signal:
        log.tell("run_interrupted", {**payload, "ended_by": end.signal})
    else:
        log.tell("run_completed", {**payload, "ended_by": end.reason, "result_digest": None})


def _not_left(plan: PaperPlan, left: FinalAccount) -> Failure | None:
    """A run that was to leave nothing behind, and did, has failed, however well it went."""
    statement = left.statement
    if plan.spec.paper.on_stop == "leave" and not left.halt:
        return None
    if statement is None:
        return Failure(kind="lab", message="nobody could say whether the account was flat: the venue did not answer")
    if not is_flat(statement):
        return Failure(kind="lab", message="the venue still has open orders or a position, and could not end them")
    return None

"""The end of a paper run: apply `on_stop`, build the results from the venue's ledger, write the closing event."""

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
from opslab.runs.paper.closing_event import action_count, closing_payload
from opslab.runs.paper.results import write_results
from opslab.runs.paper.telemetry import RunTelemetry, is_flat
from opslab.runs.paper.venue_supervisor import VenueSupervisor
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.venue_folder import drop_venue, keep_venue
from opslab.runs.record.run_journal import RunJournal
from opslab.store.runs.run_folders import RowsFile


@dataclass(frozen=True, slots=True)
class FinalAccount:
    """The account at the end of the run."""

    statement: AccountSnapshot | None
    """As the venue last reported it."""
    halt: HaltFacts | None = None
    """Set for a run that the kill switch stopped."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How the run ended."""

    reason: StopReason
    failure: Failure | None
    signal: str | None
    account: FinalAccount
    minutes: int | None
    """Candles that the venue had closed when the run began to end; None: the venue did not answer."""


def record_final_account(
    log: RunJournal, statement: AccountSnapshot | None, by: str, reason: StopReason, **more: Any
) -> None:
    """Record the account as the venue reports it after flattening, by engine or venue."""
    account = statement.account if statement else None
    reported = account.model_dump() if account else None
    orders = len(account.open_orders or ()) if account else None
    log.append("orders_canceled", {"by": by, "reason": reason, "open_orders": orders, **more})
    flat = is_flat(statement) if statement else None
    log.append("positions_flattened", {"by": by, "reason": reason, "flat": flat, "venue": reported})


def apply_on_stop(
    plan: PaperPlan, venue: VenueSupervisor, log: RunJournal, telemetry: RunTelemetry, reason: StopReason
) -> AccountSnapshot | None:
    """After the end of the engine: the venue closes what the engine left open against `on_stop: flatten`.

    Without a report from an engine the venue confirms flat, even if nothing was open. Returns the account.
    """
    statement = venue.statement()
    if plan.spec.paper.on_stop == "leave" or statement is None or (telemetry.is_settled and is_flat(statement)):
        return statement
    result = venue.flatten(reason)
    if result is None:
        return venue.statement()
    statement = AccountSnapshot.model_validate(result["statement"], strict=False)
    record_final_account(log, statement, "venue", reason, canceled=result["canceled"], closed=result["closed"])
    telemetry.is_settled = True
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
    """Write results and the closing event. The venue has stopped: its ledger is complete."""
    keep_venue(context.layout.venue(VenueId(plan.run_id)), folder, context.redact)
    counts, artifacts = write_results(folder, telemetry.orders, instrument_of(plan.symbol))
    artifacts[bars.name] = bars.commit()
    drop_venue(context.layout, plan.run_id)
    payload = closing_payload(
        folder,
        counts.counters(
            bars_seen=telemetry.bars(None),
            actions=action_count(telemetry.facts.actions, counts, plan.spec.strategy.reference()),
        ),
        {**counts.denial_reasons, **telemetry.facts.gated},
        artifacts,
        telemetry.summary(end.reason, end.account.statement, end.minutes, counts),
        elapsed_seconds=telemetry.elapsed_seconds(),
        peak_memory_bytes=telemetry.facts.peak_memory_bytes,
        metrics=plan.spec.observability.metrics,
    )
    halt = end.account.halt
    if halt:
        payload["halt"] = halt.model_dump(mode="json")
    failure = (None if halt else end.failure) or _account_failure(plan, end.account)
    if failure:
        reason = {"ended_by": end.reason} if halt else {}
        log.append("run_failed", {**payload, **reason, "failure": failure.model_dump()})
    elif halt:
        log.append("run_halted", {**payload, "ended_by": end.reason, "result_digest": None})
    elif end.signal:
        log.append("run_interrupted", {**payload, "ended_by": end.signal})
    else:
        log.append("run_completed", {**payload, "ended_by": end.reason, "result_digest": None})


def _account_failure(plan: PaperPlan, account: FinalAccount) -> Failure | None:
    """A run that must end flat and does not, has failed."""
    statement = account.statement
    if plan.spec.paper.on_stop == "leave" and not account.halt:
        return None
    if statement is None:
        return Failure(kind="lab", message="the final account is unknown: the venue did not answer")
    if not is_flat(statement):
        return Failure(kind="lab", message="the venue still has open orders or a position and could not close them")
    return None

"""The halt of a paper run: escalate against the engine, then flatten through the venue."""

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.runs.paper.engine_session import EngineSession
from opslab.runs.paper.shutdown import FinalAccount, record_final_account
from opslab.runs.paper.telemetry import RunTelemetry, is_flat
from opslab.runs.paper.venue_supervisor import VenueSupervisor
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.safety.flat_times import FlatTimes, flat_times
from opslab.runs.safety.halt_controller import HaltController
from opslab.store.venues.ledger import read_ledger

KILL_SWITCH: StopReason = "kill_switch"


def escalate(halt: HaltController, session: EngineSession, venue: VenueSupervisor) -> None:
    """Apply the escalation that is due."""

    def flat() -> bool:
        statement = venue.statement()
        return statement is not None and is_flat(statement)

    step = halt.next_step(flat)
    if step == "sigterm":
        session.child.stop()
    elif step == "sigkill":
        session.child.kill()


def flatten_halted(
    halt: HaltController, venue: VenueSupervisor, log: RunJournal, telemetry: RunTelemetry
) -> FinalAccount:
    """After the end of the engine: the venue cancels, flattens, accepts no more orders and reports the account.

    Always requested, because the engine's last orders may still be in transit.
    """
    halt.gate_closed_now("engine_ended")
    result = venue.flatten(KILL_SWITCH)
    statement = AccountSnapshot.model_validate(result["statement"], strict=False) if result else venue.statement()
    nothing_left = result is not None and not result["canceled"] and result["closed"].strip("-0.") == ""
    by = "engine" if nothing_left else "venue"
    flat = statement is not None and is_flat(statement)
    seconds = halt.seconds_to(flat_times(read_ledger(venue.folder)) if flat else FlatTimes(None, None), flat=flat)
    more = {} if result is None else {"canceled": result["canceled"], "closed": result["closed"]}
    record_final_account(log, statement, by, KILL_SWITCH, **more, **seconds)
    if by == "venue":
        telemetry.is_settled = True
    gated = telemetry.facts.gated["KILL_SWITCH"]
    summary = halt.summary(gated).model_copy(
        update={**seconds, "flat": None if statement is None else flat, "flattened_by": by if flat else None}
    )
    return FinalAccount(statement, summary)

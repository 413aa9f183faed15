"""The halt of a paper run: its engine pressed to end, and the venue asked, and told, until the account is flat."""

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
    """What is due by now."""

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
    """The engine is gone. The venue ends what there is, takes no more, and says how the account stands.

    It is told so in any case: what the engine sent last may be on its way.
    """
    halt.gate_closed_now("engine_ended")
    done = venue.flatten(KILL_SWITCH)
    statement = AccountSnapshot.model_validate(done["statement"], strict=False) if done else venue.statement()
    nothing_left = done is not None and not done["canceled"] and done["closed"].strip("-0.") == ""
    by = "engine" if nothing_left else "venue"
    flat = statement is not None and is_flat(statement)
    seconds = halt.seconds_to(flat_times(read_ledger(venue.folder)) if flat else FlatTimes(None, None), flat=flat)
    more = {} if done is None else {"canceled": done["canceled"], "closed": done["closed"]}
    record_final_account(log, statement, by, KILL_SWITCH, **more, **seconds)
    if by == "venue":
        telemetry.left("venue")
    gated = telemetry.gated().get("KILL_SWITCH", 0)
    facts = halt.summary(gated).model_copy(
        update={**seconds, "flat": None if statement is None else flat, "flattened_by": by if flat else None}
    )
    return FinalAccount(statement, facts)

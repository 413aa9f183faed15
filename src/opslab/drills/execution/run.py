"""Carry out a drill: the pass without the fault, the pass with it, the verdict, the record."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import opslab
from opslab.context import Context
from opslab.drills.drill import Drill
from opslab.drills.execution.drill_pass import ACTOR, DrillPass, OnProgress
from opslab.drills.execution.run_process import RUN_COMMAND
from opslab.drills.execution.stop_conditions import MAX_PASS_SECONDS, Aborted, Interrupted, NotStarted, StopConditions
from opslab.drills.judgement.judge import judge
from opslab.drills.report import markdown
from opslab.errors import Environment, LabError
from opslab.model.checks.drill import DrillRecord, DrillStatus, PassHistory, PassKind
from opslab.model.messages.drill_messages import DrillRunPlan
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.runs.checks.acknowledgement import acknowledge
from opslab.runs.checks.drill_records import record_drill
from opslab.system import StopSignals


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """A drill with the runs that it makes."""

    drill: Drill
    spec_text: str
    """Of both runs."""
    spec_digest: str
    spec_file: str
    spec_folder: str
    control_id: RunId
    fault_id: RunId

    def of_run(self, home: str, kind: PassKind) -> DrillRunPlan:
        return DrillRunPlan(
            home=home,
            run_id=self.control_id if kind == "control" else self.fault_id,
            spec_text=self.spec_text,
            spec_file=self.spec_file,
            spec_folder=self.spec_folder,
        )


def run_drill(
    context: Context,
    plan: DrillPlan,
    signals: StopSignals,
    on_progress: OnProgress,
    command: Sequence[str] = RUN_COMMAND,
    conditions: StopConditions | None = None,
) -> tuple[DrillRecord, RunId]:
    """Carry out a drill. Returns its record, and the run that has it.

    A control pass that is not steady, or does not reach the state of a step, ends the drill: nothing is broken then.
    Raises NotStarted or Environment when no run could be started, KeyboardInterrupt when a signal came before that.
    """
    started_at = iso(context.clock.now_ns())
    histories: dict[PassKind, PassHistory] = {}
    status: DrillStatus = "completed"
    reason: str | None = None
    kinds: tuple[PassKind, ...] = ("control", "fault")
    try:
        for kind in kinds:
            one = DrillPass(
                context,
                plan.drill,
                kind,
                plan.of_run(str(context.layout.home), kind),
                command,
                signals,
                on_progress,
                conditions or StopConditions(max_seconds=MAX_PASS_SECONDS + plan.drill.requested_seconds),
            )
            try:
                one.run()
            finally:
                if one.has_run:
                    histories[kind] = one.history()
            if kind == "control" and not one.was_steady:
                reason = f"the run without the fault was not steady; it ended as {one.status or 'unknown'}"
                break
            if kind == "control" and one.unreached:
                reason = f"the run without the fault did not reach the required state: {one.unreached}"
                break
    except Aborted as stop:
        status, reason = "aborted", str(stop)
    except Interrupted as stop:
        status, reason = "interrupted", str(stop)
    except NotStarted:
        if signals.name is None:
            raise
        status, reason = "interrupted", signals.name
    if not histories:
        if status == "interrupted":
            raise KeyboardInterrupt
        raise Environment(f"drill {plan.drill.name}: no run was started: {reason}")
    record = _record(context, plan, histories, started_at, status, reason)
    run_id = plan.fault_id if "fault" in histories else plan.control_id
    record_drill(context, run_id, record, markdown(record))
    for made in record.blast_radius:  # no operator has to deal with the end of a run that a drill ended
        with suppress(LabError):
            acknowledge(context, RunId(made), f"run of drill {plan.drill.name}", ACTOR)
    return record, run_id


def _record(
    context: Context,
    plan: DrillPlan,
    histories: dict[PassKind, PassHistory],
    started_at: str,
    status: DrillStatus,
    reason: str | None,
) -> DrillRecord:
    control, fault = histories.get("control"), histories.get("fault")
    definition = plan.drill.definition
    return DrillRecord(
        definition=definition,
        lab_version=opslab.__version__,
        engine_version=_engine_version(fault or control),
        spec_digest=plan.spec_digest,
        blast_radius=tuple(history.run_id for history in histories.values()),
        started_at=started_at,
        ended_at=iso(context.clock.now_ns()),
        status=status,
        reason=reason,
        control=control,
        fault=fault,
        judgement=judge(definition, status, control, fault),
    )


def _engine_version(history: PassHistory | None) -> str | None:
    started = next((event for event in (history.events if history else ()) if event.event == "engine_started"), None)
    return str(started.payload["version"]) if started else None

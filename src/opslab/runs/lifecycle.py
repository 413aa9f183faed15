"""What every run goes through, whatever runs in it: made, owned, let through the safety gate, ended, sealed."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.errors import Corrupt, LabError
from opslab.model.run.metadata import FINAL, Failure, Owner, RunMetadata
from opslab.ports import Clock, Processes
from opslab.runs.initialize import initialize, is_initialized, made_of
from opslab.runs.planning.plan import RunPlan
from opslab.runs.processes.child_process import ENGINE_COMMAND
from opslab.runs.record.run_journal import RunJournal, finish
from opslab.runs.record.state import read_state
from opslab.runs.safety.start_gate import may_start
from opslab.store.files import remove_folder
from opslab.store.layout import Layout
from opslab.store.runs.journal import Journal
from opslab.store.runs.live_files import remove_live
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import taken, write_inputs
from opslab.store.runs.seal import read_manifest
from opslab.system import StopSignals


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run needs of the world around it."""

    layout: Layout
    clock: Clock
    processes: Processes
    signals: StopSignals
    """Entered by the caller."""
    redact: Callable[[str], str]
    """Takes this machine's paths out of a text."""
    command: Sequence[str] = ENGINE_COMMAND


Salvage = Callable[[Path, RunMetadata], Mapping[str, Any]]
"""What there is to say of a run that the lab itself could not go on with, when nothing of it runs any more."""


def execute(
    plan: RunPlan, context: RunContext, run: Callable[[Path, RunJournal], None], salvage: Salvage | None = None
) -> RunMetadata:
    """Let it live, from `init` on where there was one. Returns how it ended.

    run: what happens between the safety gate and the seal; its last word in the journal says how the run ended.
    Raises AlreadyExists, Environment or Unwritable when there is no run to speak of.
    """
    layout, run_id = context.layout, plan.run_id
    folder = layout.run(run_id)
    if not is_initialized(layout, run_id, plan.spec):
        initialize(layout, plan, context.clock)
    with owned(folder):
        begun = read_state(folder)
        if begun.status != "initialized":  # another was quicker
            raise taken(run_id)
        write_inputs(folder, plan.code.model_dump(mode="json"), plan.own)
        with Journal(folder, context.clock) as journal:
            log = RunJournal(folder, journal, begun)
            try:
                if may_start(layout, log, context.clock, context.redact):
                    run(folder, log)
                finish(folder, log.metadata, context.clock, reports=plan.spec.observability.report)
            except BaseException as error:
                with suppress(LabError):
                    _fail(folder, plan, log, error, context, salvage)
                raise
            finally:
                if salvage is None or log.metadata.status in FINAL:  # else who settles the run needs what is there
                    remove_folder(layout.work(run_id))
                remove_live(layout, run_id)
            return log.metadata


def start(plan: RunPlan, log: RunJournal, context: RunContext) -> Owner:
    """Tell who runs it; and what it is made of, where that is not what it was when the run was initialized."""
    owner = context.processes.me()
    before = log.metadata.model_dump()
    changed = {name: value for name, value in made_of(plan).items() if value != before[name]}
    log.tell("run_started", {"owner": owner.model_dump(), **changed})
    log.tell("data_verified", {"dataset": plan.dataset.name, "fingerprint": plan.dataset.fingerprint})
    return owner


def _fail(
    folder: Path,
    plan: RunPlan,
    log: RunJournal,
    error: BaseException,
    context: RunContext,
    salvage: Salvage | None,
) -> None:
    """The lab itself could not go on: say so in the journal, and seal, as far as that can still be done."""
    if log.metadata.status not in FINAL:
        failure = Failure(kind="lab", message=f"{type(error).__name__}: {context.redact(str(error))}")
        more: Mapping[str, Any] = {}
        if salvage and log.metadata.status == "running":
            with suppress(Corrupt):  # what cannot be read is no reason to keep silent
                more = salvage(folder, log.metadata)
        log.tell("run_failed", {**more, "failure": failure.model_dump()})
    if read_manifest(folder) is None:
        finish(folder, log.metadata, context.clock, reports=plan.spec.observability.report)

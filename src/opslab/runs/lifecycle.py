"""The life of every run: created, locked, past the safety gate, ended, sealed."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.context import Context
from opslab.errors import Corrupt, LabError
from opslab.model.run.metadata import FINAL, Failure, Owner, RunMetadata
from opslab.runs.initialize import composition, initialize, is_initialized
from opslab.runs.planning.plan import RunPlan
from opslab.runs.processes.child_process import ENGINE_COMMAND
from opslab.runs.record.run_journal import RunJournal, finish
from opslab.runs.record.state import read_state
from opslab.runs.safety.start_gate import may_start
from opslab.store.files import remove_folder
from opslab.store.runs.journal import Journal
from opslab.store.runs.live_files import remove_live
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import already_exists, clear_temporary_files, write_inputs
from opslab.store.runs.seal import read_manifest
from opslab.system import StopSignals


@dataclass(frozen=True, slots=True)
class RunContext(Context):
    """With what a run needs besides."""

    signals: StopSignals
    """Entered by the caller."""
    command: Sequence[str] = ENGINE_COMMAND


Salvage = Callable[[Path, RunMetadata], Mapping[str, Any]]
"""Completes the closing payload of a run that failed in control, after all its children have ended."""


def execute(
    plan: RunPlan, context: RunContext, run: Callable[[Path, RunJournal], None], salvage: Salvage | None = None
) -> RunMetadata:
    """Execute the plan, continuing an initialized run. Returns the final metadata.

    run: everything between the safety gate and the seal; its last journal event says how the run ended.
    Raises AlreadyExists, Environment or Unwritable when no run was created.
    """
    layout, run_id = context.layout, plan.run_id
    folder = layout.run(run_id)
    if not is_initialized(layout, run_id, plan.spec):
        initialize(layout, plan, context.clock)
    with owned(folder):
        metadata = read_state(folder)
        if metadata.status != "initialized":  # another process started it first
            raise already_exists(run_id)
        clear_temporary_files(folder)  # of a process that was killed just before it recorded the start
        write_inputs(folder, plan.code.model_dump(mode="json"), plan.own)
        with Journal(folder, context.clock) as journal:
            log = RunJournal(folder, journal, metadata)
            try:
                if may_start(context, log):
                    run(folder, log)
                finish(folder, log.metadata, context.clock, reports=plan.spec.observability.report)
            except BaseException as error:
                with suppress(LabError):
                    _fail(folder, plan, log, error, context, salvage)
                raise
            finally:
                if salvage is None or log.metadata.status in FINAL:  # otherwise recovery needs it
                    remove_folder(layout.work(run_id))
                remove_live(layout, run_id)
            return log.metadata


def start(plan: RunPlan, log: RunJournal, context: RunContext) -> Owner:
    """Record the owner, and the composition of the run where it changed since initialization."""
    owner = context.processes.this_process()
    before = log.metadata.model_dump()
    changed = {name: value for name, value in composition(plan).items() if value != before[name]}
    log.append("run_started", {"owner": owner.model_dump(), **changed})
    log.append("data_verified", {"dataset": plan.dataset.name, "fingerprint": plan.dataset.fingerprint})
    return owner


def _fail(
    folder: Path,
    plan: RunPlan,
    log: RunJournal,
    error: BaseException,
    context: RunContext,
    salvage: Salvage | None,
) -> None:
    """After an exception in control: record the failure and seal, as far as possible."""
    if log.metadata.status not in FINAL:
        failure = Failure(kind="lab", message=f"{type(error).__name__}: {context.redact(str(error))}")
        more: Mapping[str, Any] = {}
        if salvage and log.metadata.status == "running":
            with suppress(Corrupt):  # an unreadable file must not hide the failure
                more = salvage(folder, log.metadata)
        log.append("run_failed", {**more, "failure": failure.model_dump()})
    if read_manifest(folder) is None:
        finish(folder, log.metadata, context.clock, reports=plan.spec.observability.report)

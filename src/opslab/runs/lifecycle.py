"""The life of every claimed run: past the safety gate, run, ended. `claim` comes before it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from opslab.context import Context
from opslab.errors import LabError
from opslab.model.journal.engine_events import DataVerified
from opslab.model.journal.run_events import RunStarted
from opslab.model.run.metadata import FINAL, Owner, RunMetadata, Trace
from opslab.runs.claim import ClaimedRun, composition
from opslab.runs.end import Salvage, end, end_failed
from opslab.runs.planning.plan import RunPlan
from opslab.runs.processes.child_process import ENGINE_COMMAND
from opslab.runs.safety.start_gate import may_start
from opslab.store.files import remove_folder
from opslab.store.runs.live_files import remove_live
from opslab.system import StopSignals


@dataclass(frozen=True, slots=True)
class RunContext(Context):
    """With what a run needs besides."""

    signals: StopSignals
    """Entered by the caller."""
    command: Sequence[str] = ENGINE_COMMAND
    trace: Trace | None = None
    """Recorded in the run; None: no traces are requested."""


def execute(
    run: ClaimedRun[RunPlan], context: RunContext, work: Callable[[], None], salvage: Salvage | None = None
) -> RunMetadata:
    """Execute a claimed run. Returns the final metadata.

    work: everything between the safety gate and the seal; its last journal event says how the run ended.
    """
    run_id, log = run.plan.run_id, run.log
    try:
        if may_start(context, log):
            work()
        end(run, context)
    except BaseException as error:
        with suppress(LabError):
            end_failed(run, context, error, salvage)
        raise
    finally:
        if salvage is None or log.metadata.status in FINAL:  # otherwise recovery needs it
            remove_folder(context.layout.work(run_id))
        remove_live(context.layout, run_id)
    return log.metadata


def start(run: ClaimedRun[RunPlan], context: RunContext) -> Owner:
    """Record the owner, and the composition of the run where it changed since initialization."""
    owner, log, dataset = context.processes.this_process(), run.log, run.plan.dataset
    current = asdict(composition(run.plan))
    changed = {name: value for name, value in current.items() if value != getattr(log.metadata, name)}
    if context.trace is not None:
        changed["trace"] = context.trace
    log.append(RunStarted(owner=owner).model_copy(update=changed))
    log.append(DataVerified(dataset=dataset.name, fingerprint=dataset.fingerprint))
    return owner

"""The end of every run: sealed after its closing event; with a closing event of its own after a failure of control."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from opslab.context import Context
from opslab.errors import Corrupt
from opslab.model.journal.run_events import RunFailed, RunResults
from opslab.model.run.metadata import FINAL, Failure, RunMetadata
from opslab.runs.claim import ClaimedRun
from opslab.runs.planning.plan import RunPlan
from opslab.runs.processes.engine_log import count_stored
from opslab.runs.record.run_journal import seal_run
from opslab.runs.record.warnings import without_results
from opslab.store.runs.seal import read_manifest

Salvage = Callable[[Path, RunMetadata], RunResults]
"""The results of a run that failed in control, after all its children have ended."""


def end(run: ClaimedRun[RunPlan], context: Context) -> None:
    """Seal the run and write its reports. Its closing event is in the journal."""
    seal_run(run.folder, run.log.metadata, context.clock, reports=run.plan.spec.observability.report)


def end_failed(run: ClaimedRun[RunPlan], context: Context, error: BaseException, salvage: Salvage | None) -> None:
    """After an exception in control: record the failure and seal, as far as possible."""
    log = run.log
    if log.metadata.status not in FINAL:
        failure = Failure(kind="lab", message=f"{type(error).__name__}: {context.redact(str(error))}")
        engine_log = count_stored(run.folder / "logs", run.plan.spec.observability.log, context.redact)
        results = without_results(log.metadata.dataset, engine_log)
        if salvage and log.metadata.status == "running":
            with suppress(Corrupt):  # an unreadable file must not hide the failure
                results = salvage(run.folder, log.metadata)
        log.append(RunFailed(**results, failure=failure))
    if read_manifest(run.folder) is None:
        end(run, context)

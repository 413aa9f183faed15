"""The series of one run, from its records."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from opslab.connectivity.metrics import probe_samples, readiness_samples
from opslab.metrics.family import Sample
from opslab.model.checks.check_kind import PROBE, READINESS, CheckKind
from opslab.model.checks.connectivity import ProbeResult, ReadinessResult
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.record import Record
from opslab.model.run.live_status import LiveStatus
from opslab.model.run.metadata import RunMetadata
from opslab.reconciliation.metrics import counter_samples as reconciliation_counters
from opslab.reconciliation.metrics import last_samples as last_reconciliation
from opslab.runs.paper.metrics.counters import counter_samples, ended_samples
from opslab.runs.paper.metrics.live import live_samples
from opslab.runs.record.metrics.run import run_samples
from opslab.runs.safety.metrics import samples as halt_samples
from opslab.store.runs.live_files import read_live

if TYPE_CHECKING:
    from opslab.context import Context


def run_series(context: "Context", run: RunMetadata) -> Iterator[Sample]:
    """run: as seen: `running` only while its owner lives."""
    run_id, is_live = run.run_id, run.status == "running"
    live = read_live(context.layout, RunId(run_id)) if run.metrics is None else None
    yield from run_samples(run, live, is_live)
    yield from _paper(run, live if is_live else None)
    if run.halt is not None:
        yield from halt_samples(run_id, run.halt)
    readiness = _last_result(context, run, READINESS, ReadinessResult)
    if readiness is not None:
        yield from readiness_samples(run_id, readiness)
    probe = _last_result(context, run, PROBE, ProbeResult)
    if probe is not None:
        yield from probe_samples(run_id, probe)


def _paper(run: RunMetadata, live: LiveStatus | None) -> Iterator[Sample]:
    """live: of a living owner."""
    status = live.paper if live else None
    counters = run.paper.counters if run.paper else status.counters if status else None
    if counters is not None:
        yield from counter_samples(run.run_id, counters)
        yield from reconciliation_counters(run.run_id, counters.reconciliations.model_dump())
    if run.paper is not None:
        yield from ended_samples(run.run_id, run.paper)
    elif status is not None:
        yield from live_samples(run.run_id, status)
    recorded = run.reconciliation  # newer than the live status or the end when it was recorded by a command
    state, at = (counters.last_reconciliation_state, counters.last_reconciliation_at) if counters else (None, None)
    if recorded is not None and (at is None or str(recorded.get("observed_as_of") or "") > at):
        state, at = recorded["state"], recorded.get("observed_as_of")
    if state is not None:
        yield from last_reconciliation(run.run_id, state, at)


def _last_result[R: Record](context: "Context", run: RunMetadata, kind: CheckKind, record: type[R]) -> R | None:
    """The last result of a check of the run; None when there is none, or none that can be read."""
    if getattr(run, kind.section) is None:
        return None
    try:
        return record.model_validate_json((context.layout.run(RunId(run.run_id)) / kind.plain).read_bytes())
    except (OSError, ValidationError):
        return None

"""Run the readiness check or the probe of a spec, and record the result in its run if there is one."""

from dataclasses import dataclass
from pathlib import Path

import opslab
from opslab.connectivity.addresses import Resolve
from opslab.connectivity.probe import probe
from opslab.connectivity.readiness import ReadPresence, evaluate
from opslab.context import Context
from opslab.model.checks.connectivity import ProbeResult, ReadinessResult
from opslab.model.journal.check_events import CheckRecorded, ConnectivityProbeEvaluated, ConnectivityReadinessEvaluated
from opslab.model.primitives.instant import iso
from opslab.model.primitives.loopback_url import LoopbackUrl
from opslab.runs.checks.check_results import PROBE, READINESS, CheckKind, CheckResult, RecordedCheck, record_check
from opslab.runs.checks.resolve_run import ResolvedRun, resolve_run
from opslab.specs.load import load_spec


@dataclass(frozen=True, slots=True)
class CheckOutcome[Result: (ReadinessResult, ProbeResult)]:
    """A result, and the run that it was recorded in."""

    result: Result
    run: ResolvedRun
    recorded: RecordedCheck | None
    notes: str | None
    """Of the spec's readiness block."""


def check_readiness(
    context: Context, spec_file: Path, run_id: str | None, read_presence: ReadPresence
) -> CheckOutcome[ReadinessResult]:
    """Raises NotFound, InvalidSpec; for a run BadId, NotFound, Usage, Corrupt, Environment, Unwritable."""
    spec = load_spec(spec_file).spec
    run = resolve_run(context.layout, spec, run_id)
    block = spec.connectivity_readiness
    result = evaluate(block, read_presence, iso(context.clock.now_ns()))
    recorded = _record(context, run, READINESS, result, ConnectivityReadinessEvaluated.of(result))
    return CheckOutcome(result, run, recorded, block.notes)


def check_probe(
    context: Context, spec_file: Path, url: LoopbackUrl, timeout_ms: int, run_id: str | None, resolve: Resolve
) -> CheckOutcome[ProbeResult]:
    """Raises as `check_readiness`, and Usage if `url` is not loopback, before anything is sent."""
    spec = load_spec(spec_file).spec
    run = resolve_run(context.layout, spec, run_id)
    result = probe(url, timeout_ms, context.clock, resolve, f"tc/{opslab.__version__}")
    recorded = _record(context, run, PROBE, result, ConnectivityProbeEvaluated.of(result))
    return CheckOutcome(result, run, recorded, spec.connectivity_readiness.notes)


def _record(
    context: Context,
    run: ResolvedRun,
    kind: CheckKind,
    result: ReadinessResult | ProbeResult,
    event: CheckRecorded,
) -> RecordedCheck | None:
    """None: there is no run to record it in."""
    if run.run_id is None:
        return None
    return record_check(context, run.run_id, CheckResult(kind, event, result.model_dump(mode="json")))

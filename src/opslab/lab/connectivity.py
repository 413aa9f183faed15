"""Readiness of a spec's environment variables, and the probe of a loopback URL."""

from pathlib import Path

from opslab.connectivity.addresses import system_resolve
from opslab.context import Context
from opslab.model.checks.connectivity import ProbeResult, ReadinessResult
from opslab.model.primitives.loopback_url import LoopbackUrl
from opslab.runs.checks.connectivity import CheckOutcome, check_probe, check_readiness
from opslab.settings import presence_in_process

__all__ = ["CheckOutcome", "probe", "readiness"]


def readiness(context: Context, spec_file: Path, run_id: str | None) -> CheckOutcome[ReadinessResult]:
    """Whether the variables that the spec names are set. No network."""
    return check_readiness(context, spec_file, run_id, presence_in_process)


def probe(
    context: Context, spec_file: Path, url: str, timeout_ms: int, run_id: str | None
) -> CheckOutcome[ProbeResult]:
    """One GET to a loopback URL. Raises Usage, and what concerns the run, before anything is sent."""
    return check_probe(context, spec_file, LoopbackUrl(url), timeout_ms, run_id, system_resolve)

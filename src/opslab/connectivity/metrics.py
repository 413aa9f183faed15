"""Metrics of the connectivity checks, from their last recorded results."""

from collections.abc import Iterator
from typing import get_args

from opslab.metrics.family import Family, Sample
from opslab.model.checks.connectivity import ProbeResult, ProbeState, ReadinessResult, ReadinessState

READINESS = Family(
    "opslab_readiness_state",
    "gauge",
    "1 for the state of the last readiness check that was recorded in the run, 0 for the others.",
    ("run_id", "state"),
)
MISSING = Family(
    "opslab_readiness_missing_variables",
    "gauge",
    "Number of required environment variables that were not set.",
    ("run_id",),
)
READINESS_AT = Family(
    "opslab_readiness_timestamp_seconds", "gauge", "When the last readiness check was made.", ("run_id",)
)
PROBE = Family(
    "opslab_probe_state",
    "gauge",
    "1 for the state of the last probe that was recorded in the run, 0 for the others.",
    ("run_id", "state"),
)
PROBE_SECONDS = Family(
    "opslab_probe_seconds",
    "gauge",
    "Duration of each phase of the last probe that was reached, and of the whole.",
    ("run_id", "phase"),
)
PROBE_AT = Family("opslab_probe_timestamp_seconds", "gauge", "When the last probe was made.", ("run_id",))

FAMILIES = (READINESS, MISSING, READINESS_AT, PROBE, PROBE_SECONDS, PROBE_AT)

_READINESS_STATES: tuple[str, ...] = get_args(ReadinessState)
_PROBE_STATES: tuple[str, ...] = get_args(ProbeState)
_MS_PER_SECOND = 1000


def readiness_samples(run_id: str, result: ReadinessResult) -> Iterator[Sample]:
    yield from READINESS.states(_READINESS_STATES, result.state, run_id)
    yield MISSING.sample(len(result.missing_env), run_id)
    yield from READINESS_AT.at(result.evaluated_at, run_id)


def probe_samples(run_id: str, result: ProbeResult) -> Iterator[Sample]:
    yield from PROBE.states(_PROBE_STATES, result.state, run_id)
    phases = (
        ("resolve", result.resolve_ms),
        ("connect", result.connect_ms),
        ("first_byte", result.first_byte_ms),
        ("total", result.total_ms),
    )
    for phase, milliseconds in phases:
        if milliseconds is not None:
            yield PROBE_SECONDS.sample(milliseconds / _MS_PER_SECOND, run_id, phase)
    yield from PROBE_AT.at(result.evaluated_at, run_id)

"""Metrics of a halt by the kill switch."""

from collections.abc import Iterator

from opslab.metrics.family import Family, Sample
from opslab.model.run.halt_summary import HaltFacts

SECONDS = Family(
    "opslab_halt_seconds",
    "gauge",
    "Time from the activation of the kill switch until the gate was closed, until the venue had no open order, and "
    "until it had no position either. Without a value where it was not reached.",
    ("run_id", "phase"),
)
FLAT = Family(
    "opslab_halt_flat",
    "gauge",
    "1: the venue reported a flat account after the halt. 0: it did not. A backtest has no venue, and no series.",
    ("run_id",),
)
ESCALATION = Family(
    "opslab_halt_escalation",
    "gauge",
    "1 for the signal that was needed to end the engine, 0 for the others.",
    ("run_id", "signal"),
)

FAMILIES = (SECONDS, FLAT, ESCALATION)

_SIGNALS = ("none", "sigterm", "sigkill")


def samples(run_id: str, halt: HaltFacts) -> Iterator[Sample]:
    phases = (
        ("gate", halt.seconds_to_gate),
        ("no_orders", halt.seconds_to_no_orders),
        ("flat", halt.seconds_to_flat),
    )
    for phase, seconds in phases:
        if seconds is not None:
            yield SECONDS.sample(seconds, run_id, phase)
    if halt.flat is not None:
        yield FLAT.sample(halt.flat, run_id)
    if halt.escalation is not None:
        yield from ESCALATION.states(_SIGNALS, halt.escalation, run_id)

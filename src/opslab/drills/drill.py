"""The definition of a drill: what it claims, as data, and what it does to a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from opslab.model.checks.drill import DrillDefinition, Probe, RestoreWhen, Signal


@dataclass(frozen=True, slots=True)
class VenueFault:
    """A fault of the run's venue; it ends with the drill's connection."""

    name: str
    terms: Mapping[str, JsonValue] = field(default_factory=dict)
    until_end: bool = False
    """Restored at the end of the pass, not at the end of the step."""


@dataclass(frozen=True, slots=True)
class ProcessSignal:
    """Kill or stop a process of the run."""

    process: Literal["engine", "venue", "control"]
    action: Literal["kill", "stop"]


@dataclass(frozen=True, slots=True)
class KillSwitchActivation:
    """Activate the run's own kill switch."""


Injection = VenueFault | ProcessSignal | KillSwitchActivation


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a step does. `stimulus` is done in both passes, `injections` in the pass with the fault alone."""

    injections: tuple[Injection, ...]
    restore_when: RestoreWhen = "detected"
    corrections: tuple[VenueFault, ...] = ()
    """Done before the faults end: what a fault changed for good is changed back."""
    restorations: tuple[VenueFault, ...] = ()
    """Done after the faults have ended, as an operator would."""
    stimulus: tuple[Injection, ...] = ()
    hold_seconds: float = 0.0
    """Shortest time from the injection to the restoration."""

    @property
    def can_last(self) -> bool:
        """Whether its fault lasts until the drill ends it."""
        return self.restore_when != "by_itself" and any(isinstance(each, VenueFault) for each in self.injections)


@dataclass(frozen=True, slots=True)
class Drill:
    definition: DrillDefinition
    paper: Mapping[str, JsonValue]
    """Fields of the spec's block `paper` that the drill sets."""
    disturbances: tuple[Disturbance, ...]
    """One for each step of the definition."""
    ends_run_by: Literal["stop", "itself"] = "stop"
    """`stop`: SIGTERM after the last step."""

    @property
    def can_last(self) -> bool:
        """Whether all its faults last until the drill ends them."""
        return all(disturbance.can_last for disturbance in self.disturbances)

    @property
    def requested_seconds(self) -> float:
        """Sum of the durations that the operator requested for its faults."""
        return sum(step.min_seconds or 0 for step in self.definition.steps)

    @property
    def name(self) -> str:
        return self.definition.name


HEARTBEAT = "paper_heartbeat"
POSITION_OPEN = Signal(event=HEARTBEAT, where={"position_open": True})
FEEDS_LIVE = Signal(event=HEARTBEAT, where={"feeds.bars": "live", "feeds.quotes": "live", "feeds.trades": "live"})

PROBES: dict[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe(name="feeds_live", mode="edge", signal=FEEDS_LIVE),
        Probe(name="sockets_connected", mode="edge", signal=Signal(event=HEARTBEAT, where={"sockets_connected": True})),
        Probe(name="gate_open", mode="continuous", signal=Signal(event=HEARTBEAT, where={"gate_closed": False})),
        Probe(
            name="venue_answers",
            mode="edge",
            signal=Signal(event=HEARTBEAT, where={"venue_answered": True}),
            tolerance=2,
        ),
    )
}
"""The steady state of a paper run."""


def probes(*, without: tuple[str, ...] = (), edge: tuple[str, ...] = ()) -> tuple[Probe, ...]:
    """The steady state. edge: probes that the fault itself changes."""
    return tuple(
        probe.model_copy(update={"mode": "edge"}) if name in edge else probe
        for name, probe in PROBES.items()
        if name not in without
    )

"""The record of a failure drill: what it claims, what happened, and the verdict. Crosses a file; no IO."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from opslab.model.primitives.record import Record

DrillStatus = Literal["completed", "aborted", "interrupted"]
"""Of the work: whether the drill was carried out. Says nothing about its result."""
Verdict = Literal["pass", "fail", "unknown"]
PassKind = Literal["control", "fault"]
ProbeMode = Literal["edge", "continuous"]
"""`edge`: before the fault and after the recovery. `continuous`: at all times."""
RestoreWhen = Literal["detected", "acted", "by_itself"]
"""`by_itself`: the lab has to end the disturbance; the drill only removes what is left."""
FORMAT = "v1"


class Signal(Record):
    """An event of the history, as data: a stored drill is judged by the signals in its own record."""

    event: str
    where: dict[str, JsonValue] = Field(default_factory=dict)
    """Path in the payload, parts separated by dots, to its value, or to a list of allowed values."""

    def matches(self, event: str, payload: Mapping[str, JsonValue]) -> bool:
        return event == self.event and all(_is(_at(payload, path), value) for path, value in self.where.items())

    @property
    def text(self) -> str:
        terms = " ".join(f"{path}={_text(value)}" for path, value in self.where.items())
        return f"{self.event} {terms}".strip()


def _at(payload: Mapping[str, JsonValue], path: str) -> JsonValue:
    value: JsonValue = dict(payload)
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _is(value: JsonValue, allowed: JsonValue) -> bool:
    return value in allowed if isinstance(allowed, list) else bool(value == allowed)


def _text(value: JsonValue) -> str:
    if isinstance(value, list) and len(value) > 2:
        first = value[0]
        if isinstance(first, int) and value == list(range(first, first + len(value))):
            return f"{first}..{first + len(value) - 1}"
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)


# What a drill claims.


class Probe(Record):
    """A part of the steady state: every heartbeat fits the signal."""

    name: str
    mode: ProbeMode
    signal: Signal
    """Of heartbeats."""
    tolerance: int = 1
    """Number of heartbeats in a row that may differ."""


class StepBounds(Record):
    """Seconds. Times are those of the lines of the journal."""

    detect: float
    """From the injection."""
    act: float | None = None
    """From the detection."""
    recover: float
    """From the end of the fault; from the injection when it ends by itself."""


class StepDefinition(Record):
    """One disturbance."""

    name: str
    reached: Signal
    """Of the last heartbeat before the injection: without it the step shows nothing."""
    reached_text: str
    injection: str
    """What is done, as text."""
    injected: Signal | None
    """Proves that it was done. `null`: the drill's mark `delivered` does, which saw a process dead or stopped. An event
    of the lab would be its detection, and a lab that notices nothing would fail no drill."""
    detected: Signal
    detected_by: str
    acted: Signal | None = None
    recovered: Signal
    recovered_from: Literal["restored", "injected"] = "restored"
    also: tuple[Signal, ...] = ()
    """Must occur too, between the injection and the end."""
    never: tuple[Signal, ...] = ()
    """Must not occur between the injection and the end."""
    reacts_to_stimulus: bool = False
    """The drill asks for the reaction in both passes, as by the kill switch: the control pass must show it too."""
    bounds: StepBounds
    min_seconds: float | None = None
    """Shortest duration of the fault, as the operator requested it. `null`: until it is detected, or as the drill does
    by itself."""


class KnownLimit(Record):
    """A limit of the engine that a drill may pass with."""

    name: str
    what: str
    upstream: str
    """Link to its report."""
    excuses: tuple[str, ...]
    """Names of the checks that may fail because of it."""
    evidence: Literal["orders_in_doubt"]
    """What the history must have: orders that were submitted while the fault lasted, and of which the venue said
    nothing since."""


class DrillDefinition(Record):
    name: str
    title: str
    hypothesis: str
    probes: tuple[Probe, ...]
    steps: tuple[StepDefinition, ...]
    statuses: tuple[str, ...]
    """Statuses with which the run of the fault may end."""
    control_statuses: tuple[str, ...]
    last_reconciliations: tuple[str, ...] = ("ok",)
    """States that the last reconciliation may have."""
    external_orders: int = 0
    """Orders of somebody else that the drill itself places."""
    max_unreported_orders: int = 0
    """Orders that the venue has from an engine, and control does not: those of an engine whose control was killed."""
    limits: tuple[KnownLimit, ...] = ()


# What happened.


class HistoryEvent(Record):
    seq: int
    time: str
    event: str
    payload: dict[str, JsonValue]
    """The fields that drills need."""


class Mark(Record):
    """What the drill itself did, and when, UTC."""

    name: Literal["started", "steady", "injected", "delivered", "restored", "settled", "stopped", "ended"]
    at: str
    seq: int
    """Of the last line of the journal that it had read."""
    step: int | None = None
    """Number of the step, from 0."""
    detail: str | None = None


class Ending(Record):
    """What is left of the run of a pass."""

    exit_code: int | None
    """Of its process; `null`: it was killed."""
    status: str
    verification: str
    """`whole`, `changed` or `unsealed`."""
    flat: bool | None
    """By the venue's ledger."""
    ledger_is_proven: bool | None


class PassHistory(Record):
    kind: PassKind
    run_id: str
    events: tuple[HistoryEvent, ...]
    marks: tuple[Mark, ...]
    ending: Ending | None = None
    """`null`: the pass did not come to its end."""


# What follows.


class Check(Record):
    """One statement about the history, with the line that proves it."""

    name: str
    verdict: Verdict
    text: str
    pass_kind: PassKind
    step: int | None = None
    seq: int | None = None
    """Line of the journal of that pass."""
    seconds: float | None = None
    bound: float | None = None
    limit: str | None = None
    """Name of the known limit of the engine that excuses it."""
    is_premise: bool = False
    """Without it the drill shows nothing: its verdict is then `unknown`."""


class StepTimes(Record):
    """Times of the lines that prove them, UTC, and seconds between them."""

    step: str
    injected_at: str | None = None
    detected_at: str | None = None
    detected_by: str | None = None
    acted_at: str | None = None
    restored_at: str | None = None
    recovered_at: str | None = None
    detect_seconds: float | None = None
    act_seconds: float | None = None
    recover_seconds: float | None = None
    injected_seq: int | None = None
    detected_seq: int | None = None
    acted_seq: int | None = None
    recovered_seq: int | None = None


class Judgement(Record):
    verdict: Verdict
    deviated_at: str | None
    """Name of the first check that is not `pass`."""
    checks: tuple[Check, ...]
    times: tuple[StepTimes, ...]
    engine_limits: tuple[KnownLimit, ...] = ()
    """Known limits that were seen."""


class DrillRecord(Record):
    format: Literal["v1"] = "v1"
    definition: DrillDefinition
    lab_version: str
    engine_version: str | None
    spec_digest: str
    """Of the spec of the fault's run."""
    blast_radius: tuple[str, ...]
    """Runs that the drill made; it changes no other."""
    started_at: str
    ended_at: str
    status: DrillStatus
    reason: str | None = None
    """Why it was aborted or interrupted."""
    control: PassHistory | None
    fault: PassHistory | None
    judgement: Judgement

"""Spans of a run from the events of its journal. Pure: the journal has the ids and the times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from opslab.model.journal.check_events import ReconciliationChecked
from opslab.model.journal.engine_events import (
    CONTROL_EVENTS,
    ENGINE_EVENTS,
    DataVerified,
    EngineEnd,
    EngineLost,
    EngineRestarted,
    EngineStarted,
    PaperHeartbeat,
    PositionsFlattened,
    ScenarioActionTriggered,
    ScenarioRegistered,
    TradingHalted,
)
from opslab.model.journal.fault_events import FAULT_EVENTS, FaultEnded, FaultStarted
from opslab.model.journal.journal_event import JournalEvent, Kinds, RecordedEvent, by_name
from opslab.model.journal.run_events import RUN_EVENTS, KillSwitchObserved, RunStarted
from opslab.model.journal.torn_end_event import JournalTornEndKept
from opslab.model.journal.venue_events import VenueStarted
from opslab.model.primitives.instant import parse_iso
from opslab.model.run.metadata import RunMetadata, Trace
from opslab.runs.record.state import apply

SPAN_EVENTS: Kinds = {
    name: kind
    for name, kind in {
        **RUN_EVENTS,
        **ENGINE_EVENTS,
        **CONTROL_EVENTS,
        **FAULT_EVENTS,
        **by_name(JournalTornEndKept),
    }.items()
    if kind is not PaperHeartbeat
}
"""Events that the spans are made of."""

MAX_SPANS = 1000
"""Of one run; further reconciliations and faults are counted in `opslab.spans_omitted`."""
_PREFIX = "opslab."
_OWN_OCCASIONS = ("startup", "periodic", "final")
"""Of reconciliations of a node with its venue; others compare files, of any age."""
_WITHOUT_SPAN_EVENT = (RunStarted, DataVerified, ScenarioRegistered, ScenarioActionTriggered)

Value = str | bool | int | float | tuple[str, ...]
Attributes = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    name: str
    time_ns: int
    attributes: Attributes


@dataclass(slots=True)
class Span:
    """Times in nanoseconds since 1970."""

    name: str
    span_id: str
    parent_id: str | None
    start_ns: int
    attributes: dict[str, Value]
    end_ns: int = 0
    """0: it is open."""
    is_ok: bool = False
    error: str | None = None
    """Text of an error status; then `is_ok` has no effect."""
    events: list[SpanEvent] = field(default_factory=list)

    def set(self, values: Mapping[str, object]) -> None:
        """Add attributes of the lab; a value that is unknown or not a plain one is omitted."""
        self.attributes |= _attributes(values)


@dataclass(frozen=True, slots=True)
class RunSpans:
    """The spans of a run, its own first."""

    run_id: str
    trace: Trace
    spans: Sequence[Span]


def spans_of(events: Iterable[RecordedEvent]) -> RunSpans | None:
    """The spans of a run that has ended; None: it has not, or its journal has no trace.

    events: with those of `SPAN_EVENTS` decoded. Events after the end of the run are of no interest.
    """
    metadata: RunMetadata | None = None
    fold: _Fold | None = None
    for recorded in events:
        if recorded.event is None:
            continue
        metadata = apply(metadata, recorded)
        if fold is None:
            if isinstance(recorded.event, RunStarted) and metadata.trace is not None:
                fold = _Fold(metadata.trace, metadata.mode, _ns(recorded.time))
            continue
        if recorded.event.ENDS_AS:
            return RunSpans(metadata.run_id, fold.trace, fold.end(metadata, recorded))
        fold.add(recorded, recorded.event)
    return None


class _Fold:
    """From `run_started` to the closing event."""

    def __init__(self, trace: Trace, mode: str, start_ns: int) -> None:
        self.trace = trace
        self._mode = mode
        self._run = Span(f"run {mode}", trace.span_id, trace.parent_span_id, start_ns, {})
        self._spans: list[Span] = []
        self._omitted = 0
        self._engine_starts: dict[int, int] = {}
        """Number of an engine to the time of the event that precedes its start."""
        self._engines: dict[int, Span] = {}
        self._faults: dict[tuple[int, int], Span] = {}
        self._halt: Span | None = None

    def add(self, recorded: RecordedEvent, event: JournalEvent) -> None:
        match event:
            case EngineEnd():
                self._engine_ended(recorded, event)
            case TradingHalted():
                self._halted(recorded, event)
            case ReconciliationChecked():
                self._reconciled(recorded, event)
            case FaultStarted():
                self._fault_started(recorded, event)
            case FaultEnded():
                self._fault_ended(recorded, event)
            case _:
                self._other(recorded, event)

    def _other(self, recorded: RecordedEvent, event: JournalEvent) -> None:
        """An event that is no span: it may limit one, and is an event of one."""
        time_ns = _ns(recorded.time)
        match event:
            case DataVerified() if self._mode == "backtest":
                self._engine_starts.setdefault(1, time_ns)
            case VenueStarted():
                self._engine_starts.setdefault(1, time_ns)
            case EngineRestarted(engine_number=number):
                self._engine_starts[number] = time_ns
            case EngineStarted(engine_number=number, version=version):
                self._engine(number, recorded).set({"engine.version": version})
            case PositionsFlattened(reason="kill_switch") if self._halt is not None and not self._halt.end_ns:
                self._halt.end_ns = time_ns
        if not isinstance(event, _WITHOUT_SPAN_EVENT):
            self._span_for(event).events.append(SpanEvent(recorded.name, time_ns, _event_attributes(event)))

    def end(self, run: RunMetadata, closing: RecordedEvent) -> list[Span]:
        """All spans, after the closing event."""
        end_ns = _ns(run.ended_at or closing.time)
        if self._mode == "backtest" and run.failure and run.failure.kind != "lab" and not self._engines:
            self._engine(1, closing)  # it died before it reported anything
        if run.halt and self._halt is None:  # control died before it recorded the halt
            start = run.halt.activated_at or run.halt.seen_at
            self._halt = self._open("halt", closing, min(_ns(start), end_ns), {"halt.scope": run.halt.scope})
        if self._halt is not None and run.halt:
            self._halt.set({f"halt.{name}": value for name, value in run.halt.model_dump().items()})
            self._halt.error = "the account is not flat" if run.halt.flat is False else None
        _describe(self._run, run)
        self._run.set({"spans_omitted": self._omitted or None})
        spans = [self._run, *self._spans]
        for span in spans:
            span.end_ns = max(span.start_ns, span.end_ns or end_ns)
        return spans

    def _open(self, name: str, recorded: RecordedEvent, start_ns: int, values: Mapping[str, object]) -> Span:
        """Its id follows from the trace and the event, so that a second export has the same ids."""
        source = f"{self.trace.trace_id} {self.trace.span_id} {name} {recorded.seq}"
        span_id = sha256(source.encode()).hexdigest()[:16]
        span = Span(name, span_id, self.trace.span_id, start_ns, _attributes(values))
        if len(self._spans) + 1 < MAX_SPANS:
            self._spans.append(span)
        else:
            self._omitted += 1
        return span

    def _span_for(self, event: JournalEvent) -> Span:
        """The span of the engine that sent the event, else that of the run."""
        number = getattr(event, "engine_number", None)
        return self._engines.get(number, self._run) if isinstance(number, int) else self._run

    def _engine(self, number: int, recorded: RecordedEvent) -> Span:
        if number not in self._engines:
            start_ns = self._engine_starts.get(number, _ns(recorded.time))
            self._engines[number] = self._open("engine", recorded, start_ns, {"engine.number": number})
        return self._engines[number]

    def _engine_ended(self, recorded: RecordedEvent, event: EngineEnd) -> None:
        span = self._engine(event.engine_number, recorded)
        span.end_ns = _ns(recorded.time)
        span.set({"engine.bars": event.bars, "engine.ended_by": "stopped"})
        if isinstance(event, EngineLost):
            span.set({"engine.ended_by": event.ended_by, "engine.memory_bytes": event.memory_bytes})
            span.attributes["error.type"] = event.failure.kind
            span.error = event.failure.message

    def _halted(self, recorded: RecordedEvent, event: TradingHalted) -> None:
        values = {"halt.scope": event.scope, "halt.gate_closed_by": event.by}
        self._halt = self._open("halt", recorded, _ns(event.activated_at or event.seen_at), values)
        self._halt.events.append(SpanEvent("gate_closed", _ns(event.gate_closed_at), {}))

    def _reconciled(self, recorded: RecordedEvent, event: ReconciliationChecked) -> None:
        """Of the run itself: from the earlier of the two snapshots until the result was recorded."""
        end_ns = _ns(recorded.time)
        times = (event.expected_as_of, event.observed_as_of) if event.occasion in _OWN_OCCASIONS else ()
        snapshots = [_ns(at) for at in times if at is not None]
        name = f"reconciliation {event.occasion}" if event.occasion else "reconciliation"
        values = {f"reconciliation.{field_name}": value for field_name, value in event.payload().items()}
        span = self._open(name, recorded, min([*snapshots, end_ns]), values)
        span.end_ns = end_ns
        if event.state == "mismatch":
            span.error = event.first_finding or "mismatch"

    def _fault_started(self, recorded: RecordedEvent, event: FaultStarted) -> None:
        terms = {f"fault.terms.{name}": value for name, value in event.terms.items()}
        values = {"fault.name": event.fault, "fault.number": event.number, **terms}
        span = self._open(f"fault {event.fault}", recorded, _ns(recorded.time), values)
        self._faults[event.venue_start, event.number] = span

    def _fault_ended(self, recorded: RecordedEvent, event: FaultEnded) -> None:
        span = self._faults.pop((event.venue_start, event.number), None)
        if span is not None:
            span.end_ns = _ns(recorded.time)
            span.set({"fault.ended_by": event.reason})


def _describe(span: Span, run: RunMetadata) -> None:
    """Attributes and status of the span of a run."""
    data, metrics, identity = run.dataset, run.metrics, run.identity
    values = {
        "run.id": run.run_id,
        "run.mode": run.mode,
        "run.status": run.status,
        "run.ended_by": run.ended_by,
        "run.recovered_at": run.recovered_at,
        "run.strategy": run.strategy_title,
        "run.dataset": data.name if data else None,
        "run.dataset_fingerprint": data.fingerprint if data else None,
        "run.instrument": run.instrument,
        "run.venue": run.venue,
        "run.risk_profile": run.risk_profile,
        "run.input_digest": run.input_digest,
        "run.result_digest": run.result_digest,
        "run.engine_version": identity.engine_version if identity else None,
        "run.lab_version": run.lab_version,
        "run.warnings": tuple(warning.code for warning in run.warnings) or None,
        "run.final_reconciliation": run.paper.final_reconciliation if run.paper else None,
    }
    counters = {f"run.{name}": value for name, value in metrics.model_dump().items()} if metrics else {}
    span.set({**values, **counters})
    if run.failure:
        span.error = run.failure.message
        span.attributes["error.type"] = run.failure.kind
        described = {"exception.type": run.failure.kind, "exception.message": run.failure.message}
        if run.failure.detail:
            described["exception.stacktrace"] = run.failure.detail
        span.events.append(SpanEvent("exception", _ns(run.ended_at or run.initialized_at), {**described}))
    elif run.paper and run.paper.final_reconciliation == "mismatch":
        span.error = "the final reconciliation is a mismatch"
    elif run.ended_by == "owner_gone":
        span.error = "its owner died"
    span.is_ok = run.status == "completed"


def _event_attributes(event: JournalEvent) -> dict[str, Value]:
    if isinstance(event, KillSwitchObserved):  # without the texts that a person wrote
        return _attributes({"state": event.state, "scope": event.scope, "observed_by": event.observed_by})
    return _attributes(event.payload())


def _attributes(values: Mapping[str, object]) -> dict[str, Value]:
    return {
        f"{_PREFIX}{name}": value
        for name, value in values.items()
        if isinstance(value, str | bool | int | float)
        or (isinstance(value, tuple) and all(isinstance(each, str) for each in value))
    }


def _ns(time: str) -> int:
    return parse_iso(time)

"""Spans of a drill from its record. Pure: the record has the times; the ids follow from the trace."""

from collections.abc import Iterator
from hashlib import sha256

from opslab.model.checks.drill import Check, DrillRecord, Mark, PassHistory, StepTimes
from opslab.model.primitives.instant import parse_iso
from opslab.model.run.metadata import Trace
from opslab.runs.traces.spans import RunSpans, Span, SpanEvent


def spans_of_drill(record: DrillRecord, trace: Trace) -> RunSpans:
    """The drill, its passes, and the phases of each step of the pass with the fault."""
    return RunSpans(record.definition.name, trace, _Drill(record, trace).spans())


class _Drill:
    def __init__(self, record: DrillRecord, trace: Trace) -> None:
        self._record = record
        self._trace = trace
        self._count = 0

    def spans(self) -> list[Span]:
        record, judgement = self._record, self._record.judgement
        root = Span(
            f"drill {record.definition.name}",
            self._trace.span_id,
            self._trace.parent_span_id,
            parse_iso(record.started_at),
            {},
            end_ns=parse_iso(record.ended_at),
            is_ok=judgement.verdict == "pass",
        )
        if judgement.verdict != "pass":
            root.error = f"{judgement.verdict}: {record.reason or judgement.deviated_at}"
        root.set(
            {
                "drill.name": record.definition.name,
                "drill.status": record.status,
                "drill.verdict": judgement.verdict,
                "drill.deviated_at": judgement.deviated_at,
                "drill.engine_limits": tuple(limit.name for limit in judgement.engine_limits) or None,
                "drill.spec_digest": record.spec_digest,
                "drill.lab_version": record.lab_version,
                "drill.engine_version": record.engine_version,
            }
        )
        passes = [history for history in (record.control, record.fault) if history is not None]
        return [root, *(span for history in passes for span in self._pass(root, history))]

    def _pass(self, root: Span, history: PassHistory) -> Iterator[Span]:
        if not history.marks:
            return
        begin, end = history.marks[0].at, history.marks[-1].at
        span = self._span(f"pass {history.kind}", root, begin, end)
        span.set({"drill.pass": history.kind, "run.id": history.run_id})
        if history.ending is not None:
            span.set({"run.status": history.ending.status})
        for mark in history.marks:
            values = {} if mark.detail is None else {"opslab.detail": mark.detail}
            span.events.append(SpanEvent(mark.name, parse_iso(mark.at), values))
        yield span
        if history.kind == "fault":
            for number, times in enumerate(self._record.judgement.times):
                yield from self._step(span, history, number, times)

    def _step(self, parent: Span, history: PassHistory, number: int, times: StepTimes) -> Iterator[Span]:
        """One step. A phase that is missing although it was due lasts until the step was settled, with an error."""
        definition = self._record.definition.steps[number]
        if times.injected_at is None:
            return
        ends = [mark.at for mark in history.marks if mark.step == number and mark.name == "settled"]
        end = ends[-1] if ends else history.marks[-1].at
        step = self._span(f"step {times.step}", parent, times.injected_at, end)
        step.set({"drill.step": times.step, "drill.injection": definition.injection})
        yield step
        proof = next((event.time for event in history.events if event.seq == times.injected_seq), None)
        yield self._span("inject", step, times.injected_at, proof or times.injected_at)
        yield self._phase("detect", "detected", step, times.injected_at, times.detected_at)
        if definition.acted is not None and times.detected_at is not None:
            yield self._phase("act", "acted", step, times.detected_at, times.acted_at)
        restored = next((mark for mark in history.marks if _is(mark, "restored", number)), None)
        noticed = times.acted_at or times.detected_at
        if restored is not None:
            yield self._span("restore", step, min(noticed or restored.at, restored.at), restored.at)
        origin = times.injected_at if definition.recovered_from == "injected" else times.restored_at
        if origin is not None:
            yield self._phase("recover", "recovered", step, origin, times.recovered_at)

    def _phase(self, name: str, check_name: str, step: Span, begin: str, end: str | None) -> Span:
        """With the verdict of its check."""
        check = self._check(f"{step.attributes['opslab.drill.step']}: {check_name}")
        span = self._span(name, step, begin, end)
        if end is None:
            span.end_ns = max(span.start_ns, step.end_ns)
        if check is not None:
            span.set({"drill.bound_seconds": check.bound, "drill.journal_line": check.seq})
            span.error = check.text if check.verdict == "fail" else None
        return span

    def _check(self, name: str) -> Check | None:
        checks = self._record.judgement.checks
        return next((each for each in checks if each.pass_kind == "fault" and each.name == name), None)

    def _span(self, name: str, parent: Span, begin: str, end: str | None) -> Span:
        self._count += 1
        source = f"{self._trace.trace_id} {self._trace.span_id} {name} {self._count}"
        start_ns = parse_iso(begin)
        return Span(
            name,
            sha256(source.encode()).hexdigest()[:16],
            parent.span_id,
            start_ns,
            {},
            end_ns=max(start_ns, parse_iso(end or begin)),
        )


def _is(mark: Mark, name: str, step: int) -> bool:
    return mark.name == name and mark.step == step

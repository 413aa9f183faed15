"""Traces of runs: ids for a run that starts, and the export of runs that have ended."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from opslab.errors import LabError
from opslab.settings import TraceSettings, trace_settings_of_process
from opslab.system import random_hex

if TYPE_CHECKING:  # a command without traces does not wait for them
    from opslab.context import Context
    from opslab.model.primitives.ids import RunId
    from opslab.model.run.metadata import Trace
    from opslab.runs.recovery import Recovered
    from opslab.runs.traces.spans import RunSpans

PROTOCOL = "http/protobuf"
_INSTALL = "pip install 'tradingchassis-ops-lab[otel]'"


def new_trace() -> "tuple[Trace | None, str | None]":
    """Ids for a run that is about to start, and a note. None: it has no trace."""
    return trace_for(trace_settings_of_process())


def trace_for(settings: TraceSettings | None) -> "tuple[Trace | None, str | None]":
    """As `new_trace`. settings: None: no traces are requested."""
    if settings is None:
        return None, None
    if problem := _problem(settings):
        return None, problem
    from opslab.model.run.metadata import Trace
    from opslab.runs.traces.traceparent import parse_traceparent

    parent = parse_traceparent(settings.traceparent)
    if parent is None:
        note = "TRACEPARENT is not valid: the run has a trace of its own" if settings.traceparent else None
        return Trace(trace_id=random_hex(16), span_id=random_hex(8)), note
    if not parent.is_sampled:
        return None, None
    return Trace(trace_id=parent.trace_id, span_id=random_hex(8), parent_span_id=parent.span_id), None


def export_runs(context: "Context", run_ids: "Iterable[RunId]") -> str | None:
    """Export the traces of sealed runs that have one. Returns a note about a failure, which changes nothing."""
    settings = trace_settings_of_process()
    if settings is None:
        return None
    from opslab.runs.traces.export import send

    try:
        runs = [spans for run_id in run_ids if (spans := _spans(context, run_id))]
        if not runs:
            return None
        reason = _problem(settings) or send(runs)
    except LabError as error:
        return f"the trace was not exported: {error.message}"
    except KeyboardInterrupt:
        return "the trace was not exported: interrupted"
    names = ", ".join(run.run_id for run in runs)
    return f"the trace of run {names} was not exported ({settings.variable}): {reason}" if reason else None


def export_spans(title: str, spans: "RunSpans") -> str | None:
    """Export the spans of something else than a run. title: names it in the note about a failure, which is returned."""
    settings = trace_settings_of_process()
    if settings is None:
        return None
    from opslab.runs.traces.export import send

    try:
        reason = _problem(settings) or send([spans])
    except KeyboardInterrupt:
        return "the trace was not exported: interrupted"
    return f"the trace of {title} was not exported ({settings.variable}): {reason}" if reason else None


def export_recovered(context: "Context", recovered: "Sequence[Recovered]") -> str | None:
    """As `export_runs`, of the runs that a recovery sealed for the first time."""
    if trace_settings_of_process() is None:
        return None
    from opslab.model.primitives.ids import RunId

    settled = [RunId(one.run_id) for one in recovered if one.action in ("settled", "sealed")]
    return export_runs(context, [run_id for run_id in settled if _is_first_seal(context, run_id)])


def _problem(settings: TraceSettings) -> str | None:
    """Why no trace can be exported."""
    from opslab.runs.traces.export import is_installed

    if settings.protocol not in ("", PROTOCOL):
        return f"traces are requested, and the only protocol is {PROTOCOL}"
    if not is_installed():
        return f"traces are requested, and the extra otel is not installed; hint: {_INSTALL}"
    return None


def _spans(context: "Context", run_id: "RunId") -> "RunSpans | None":
    from opslab.runs.record.journal_events import decoded
    from opslab.runs.traces.spans import SPAN_EVENTS, spans_of
    from opslab.store.runs.journal import read_lifecycle
    from opslab.store.runs.seal import read_manifest

    folder = context.layout.run(run_id)
    if read_manifest(folder) is None:
        return None
    return spans_of(decoded(folder, read_lifecycle(folder), SPAN_EVENTS))


def _is_first_seal(context: "Context", run_id: "RunId") -> bool:
    from opslab.store.runs.seal import read_manifest

    manifest = read_manifest(context.layout.run(run_id))
    return manifest is not None and manifest.number == 1

"""Export of traces by OpenTelemetry, over OTLP/HTTP: the home of opentelemetry, which is imported when spans are sent.

The endpoint, headers and certificates are the `OTEL_*` variables of the process, which the exporter reads itself. They
are secrets: nothing of them goes into a message.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING

from opslab import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from opslab.runs.traces.spans import RunSpans

EXPORT_SECONDS = 10.0
"""Time for one export, of any number of runs."""
_SERVICE = "tradingchassis-ops-lab"
_MIN_STATUS, _MAX_STATUS = 100, 599
_LOGGERS = ("opentelemetry", "requests", "urllib3")


def is_installed() -> bool:
    """Whether the extra `otel` is installed."""
    try:
        return all(find_spec(f"opentelemetry.{name}") for name in ("sdk.trace", "exporter.otlp.proto.http"))
    except (ImportError, ValueError):  # another package has the name
        return False


def send(runs: "Sequence[RunSpans]", seconds: float = EXPORT_SECONDS) -> str | None:
    """Send the spans of runs in one request. Returns the reason why that failed; None: it did not.

    A receiver that accepts the connection and does not finish its response is abandoned after `seconds`.
    """
    outcome: list[str | None] = []

    def work() -> None:
        try:
            outcome.append(_send(runs))
        except Exception as error:  # noqa: BLE001  (of another package; its text may have a header)
            outcome.append(type(error).__name__)

    thread = Thread(target=work, name="trace-export", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no response within {seconds:g} s"


def _send(runs: "Sequence[RunSpans]") -> str | None:
    with _collected_errors() as errors:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult

        exporter = OTLPSpanExporter()
        try:
            done = exporter.export(_sdk_spans(runs))
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]
    return None if done is SpanExportResult.SUCCESS else _reason(errors)


def _sdk_spans(runs: "Sequence[RunSpans]") -> "list[ReadableSpan]":
    """The spans with the recorded ids and times. The SDK applies its `OTEL_*` limits."""
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        Status,
        StatusCode,
        TraceFlags,
        set_span_in_context,
    )

    class RecordedIds(IdGenerator):
        trace_id = span_id = 0

        def generate_trace_id(self) -> int:
            return self.trace_id

        def generate_span_id(self) -> int:
            return self.span_id

    class Collector(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    ended: list[ReadableSpan] = []
    ids = RecordedIds()
    provider = TracerProvider(sampler=ALWAYS_ON, resource=_resource(), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(Collector())
    tracer = provider.get_tracer(_SERVICE, __version__)
    for run in runs:
        ids.trace_id = int(run.trace.trace_id, 16)
        for record in run.spans:
            ids.span_id = int(record.span_id, 16)
            context = Context()
            if record.parent_id is not None:
                is_remote = record.span_id == run.trace.span_id
                parent = SpanContext(ids.trace_id, int(record.parent_id, 16), is_remote, TraceFlags(TraceFlags.SAMPLED))
                context = set_span_in_context(NonRecordingSpan(parent), context)
            span = tracer.start_span(
                record.name, context, attributes=record.attributes, start_time=record.start_ns, record_exception=False
            )
            for event in record.events:
                span.add_event(event.name, event.attributes, event.time_ns)
            if record.error is not None:
                span.set_status(Status(StatusCode.ERROR, record.error))
            elif record.is_ok:
                span.set_status(Status(StatusCode.OK))
            span.end(record.end_ns)
    return ended


def _resource() -> "Resource":
    """As the `OTEL_*` variables name it; by default the lab."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

    named = Resource.create()
    if str(named.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return named.merge(Resource({SERVICE_NAME: _SERVICE, SERVICE_VERSION: __version__}))
    return named


class _Records(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _collected_errors() -> Iterator[list[logging.LogRecord]]:
    """What the packages log goes into the list and not to the terminal."""
    handler = _Records()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler.records
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate


def _reason(errors: Sequence[logging.LogRecord]) -> str:
    """From the arguments of the exporter's log records: a status code, or the class of an exception, without texts."""
    for record in reversed(errors):
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, int) and _MIN_STATUS <= value <= _MAX_STATUS:
                return f"the receiver responded with HTTP {value}"
            if isinstance(value, Exception):
                return type(value).__name__
    return "no successful response in time"

"""The trace of a run that is about to start."""

import re

import pytest

from opslab.lab.run.traces import trace_for
from opslab.settings import TraceSettings

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def test_a_run_has_a_trace_only_when_it_is_requested() -> None:
    assert trace_for(None) == (None, None)
    (first, note), (second, _) = (trace_for(TraceSettings(VARIABLE, "", "")) for _ in range(2))
    assert note is None
    assert first is not None
    assert second is not None
    assert first.parent_span_id is None
    assert re.fullmatch(r"[0-9a-f]{32}", first.trace_id)
    assert first.trace_id != second.trace_id
    assert first.span_id != second.span_id


def test_a_sampled_parent_gives_the_trace() -> None:
    trace, note = trace_for(TraceSettings(VARIABLE, "http/protobuf", f"00-{TRACE}-{SPAN}-01"))
    assert trace is not None
    assert (trace.trace_id, trace.parent_span_id, note) == (TRACE, SPAN, None)
    assert trace.span_id != SPAN


def test_a_parent_that_is_not_sampled_gives_none() -> None:
    assert trace_for(TraceSettings(VARIABLE, "", f"00-{TRACE}-{SPAN}-00")) == (None, None)


def test_an_invalid_parent_is_ignored_with_a_note() -> None:
    trace, note = trace_for(TraceSettings(VARIABLE, "", "00-0-0-01"))
    assert trace is not None
    assert trace.parent_span_id is None
    assert note == "TRACEPARENT is not valid: the run has a trace of its own"


@pytest.mark.parametrize("protocol", ["grpc", "http/json"])
def test_another_protocol_is_named(protocol: str) -> None:
    assert trace_for(TraceSettings(VARIABLE, protocol, "")) == (
        None,
        "traces are requested, and the only protocol is http/protobuf",
    )

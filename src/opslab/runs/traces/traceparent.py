"""The parent of a trace in the form of W3C Trace Context: the value of `TRACEPARENT`. Pure."""

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<span_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?",
    re.ASCII,
)
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceParent:
    trace_id: str
    span_id: str
    is_sampled: bool


def parse_traceparent(text: str) -> TraceParent | None:
    """None when the text is not valid. A later version may add fields."""
    found = _TRACEPARENT.fullmatch(text.strip())
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["rest"]):
        return None
    if not int(found["trace_id"], 16) or not int(found["span_id"], 16):
        return None
    return TraceParent(found["trace_id"], found["span_id"], bool(int(found["flags"], 16) & _SAMPLED))

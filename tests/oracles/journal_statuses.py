"""Whether each event of a journal follows in a status of the run in which it may."""

from collections.abc import Iterable, Iterator
from typing import Any

from opslab.model.journal.registry import EVENTS


def misplaced(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """events: lines of a journal as JSON, in order."""
    status = None
    for event in events:
        kind = EVENTS[event["event"]]
        if status not in kind.STATUSES and (status is not None or kind.STATUSES):
            yield f"line {event['seq']}: {event['event']} of a run that is {status}"
        changes = {"run_initialized": "initialized", "run_started": "running"}
        status = kind.ENDS_AS or changes.get(event["event"], status)

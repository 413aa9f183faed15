"""Events of a journal as classes, for the folds: each reader names the classes that it needs."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from opslab.errors import Corrupt, OtherFormat
from opslab.model.journal.journal_event import Kinds, RecordedEvent, recorded
from opslab.model.run.event import RUN_FORMAT, Event
from opslab.store.runs.journal import NAME as JOURNAL

_FIRST = "run_initialized"


def decoded(folder: Path, lines: Iterable[Event], kinds: Kinds) -> Iterator[RecordedEvent]:
    """Every line; with its event if that is one of `kinds`, others are not validated. Raises Corrupt, OtherFormat."""
    return (decode_line(folder, line, kinds) for line in lines)


def decode_line(folder: Path, line: Event, kinds: Kinds) -> RecordedEvent:
    """As `decoded`, of one line."""
    if line.event == _FIRST and (written := line.payload.get("format", 1)) != RUN_FORMAT:
        raise OtherFormat(str(line.payload.get("run_id")), JOURNAL, written, RUN_FORMAT)
    try:
        return recorded(line, kinds)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        problem = f"line {line.seq} ({line.event}) has a payload that this version cannot read: {field}"
        raise Corrupt(
            f"run {folder.name}: {JOURNAL}, {problem}", file=JOURNAL, line=line.seq, problem=problem, brief=problem
        ) from None

"""Read the journal of a run while it is written."""

from contextlib import suppress
from pathlib import Path

from opslab.drills.history import history_event
from opslab.model.checks.drill import HistoryEvent
from opslab.model.run.event import Event
from opslab.store.runs.journal import NAME


class JournalFollower:
    """The complete lines so far. Lines that no drill needs are counted, and not kept."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._offset = 0
        self.seq = 0
        """Number of the last line that was read."""
        self.events: list[HistoryEvent] = []

    def read(self) -> list[HistoryEvent]:
        """The new lines that a drill needs. Raises ValueError for a line that is no event."""
        new: list[HistoryEvent] = []
        with suppress(FileNotFoundError), open(self._path, "rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                event = Event.model_validate_json(line)
                self.seq = event.seq
                reduced = history_event(event)
                if reduced:
                    new.append(reduced)
        self.events += new
        return new

"""Append to the journal of a running run; its owner updates the metadata and seals."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from opslab.model.journal.journal_event import JournalEvent
from opslab.model.journal.run_events import ENDINGS
from opslab.model.run.event import Event
from opslab.ports import Clock
from opslab.store.runs.journal import Journal, last_event
from opslab.store.runs.seal import NAME as MANIFEST


class HasEnded(Exception):
    """The run ended before the event could be appended."""


def append_beside_owner(folder: Path, clock: Clock, make: Callable[[], JournalEvent]) -> Event:
    """Append what `make` returns, unless the run has ended; its owner reads the event at its next write.

    make: called under the append lock. Raises HasEnded, and then it was not called; Corrupt, Unwritable.
    """

    def unless_it_has_ended() -> tuple[str, Mapping[str, Any]]:
        last = last_event(folder)
        # the last event of a sealed run may belong to a later check
        if (last and last.event in ENDINGS) or (folder / MANIFEST).exists():
            raise HasEnded
        event = make()
        return event.EVENT, event.payload()

    with Journal(folder, clock) as journal:
        return journal.append_exclusively(unless_it_has_ended)

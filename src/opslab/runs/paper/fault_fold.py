"""The faults of a paper run, folded from the events of its journal."""

from dataclasses import dataclass, field

from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.model.run.paper_summary import MAX_FAULTS, FaultFacts


@dataclass(slots=True)
class FaultFold:
    """Keeps the first `MAX_FAULTS` faults and counts all. Faults are named by start of the venue and number."""

    count: int = 0
    """Of the faults that started."""
    _faults: dict[tuple[int, int], FaultFacts] = field(default_factory=dict)

    def started(self, event: FaultStarted, at: str) -> None:
        self.count += 1
        if len(self._faults) < MAX_FAULTS:
            self._faults[event.venue_start, event.number] = FaultFacts(
                name=event.fault, terms=event.terms, started_at=at
            )

    def ended(self, event: FaultEnded, at: str) -> None:
        key = event.venue_start, event.number
        if event.reason == "failed_to_start":
            self.count -= 1
            self._faults.pop(key, None)
        elif key in self._faults:
            self._end(key, at, event.reason)

    def venue_lost(self, at: str) -> None:
        """Every active fault ended with the venue's process."""
        for key in [key for key, fault in self._faults.items() if fault.ended_at is None]:
            self._end(key, at, "venue_lost")

    def facts(self) -> tuple[FaultFacts, ...]:
        return tuple(self._faults.values())

    def _end(self, key: tuple[int, int], at: str, reason: str) -> None:
        self._faults[key] = self._faults[key].model_copy(update={"ended_at": at, "ended_by": reason})

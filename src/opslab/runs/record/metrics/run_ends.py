"""Counts the ends of runs. The counters never fall: not when a run is deleted, and not when the process restarts."""

from collections import Counter
from collections.abc import Mapping

from opslab.runs.record.selection import Row
from opslab.store.run_ends import Counted, EndKey

_FINAL = frozenset({"completed", "failed", "safety_blocked", "halted", "interrupted"})


def end_key(row: Row) -> EndKey | None:
    """Under what the end of a run is counted; None: it has not ended, or cannot be read."""
    if row.mode is None or row.status not in _FINAL:
        return None
    return row.mode, row.status, row.ended_by or ""


class RunEnds:
    """A run counts once for each key under which it was seen: after a recovery it can have another one."""

    def __init__(self, stored: Mapping[EndKey, Counted]) -> None:
        """stored: by an earlier process."""
        self._stored: Mapping[EndKey, Counted] | None = stored
        self._keys: dict[str, EndKey] = {}
        self._existing: Counter[EndKey] = Counter()
        self.counts: Counter[EndKey] = Counter()

    def count(self, changes: Mapping[str, Row | None]) -> dict[EndKey, Counted]:
        """Count the ends among the rows that have changed; None: the run is gone. Returns what to store.

        The first call has all rows.
        """
        new: Counter[EndKey] = Counter()
        for run_id, row in changes.items():
            before, key = self._keys.pop(run_id, None), end_key(row) if row is not None else None
            if before is not None:
                self._existing[before] -= 1
            if key is not None:
                self._keys[run_id] = key
                self._existing[key] += 1
                new[key] += key != before
        if self._stored is None:
            self.counts.update(new)
        else:
            self._count_since_stored(self._stored)
            self._stored = None
        return {key: Counted(count, self._existing[key]) for key, count in self.counts.items()}

    def _count_since_stored(self, stored: Mapping[EndKey, Counted]) -> None:
        """Only numbers are stored: an end is missed when a run of the same key was deleted in the meantime."""
        for key, counted in stored.items():
            self.counts[key] = counted.ends
        for key, number in self._existing.items():
            self.counts[key] += max(0, number - stored.get(key, Counted(0, 0)).existing)

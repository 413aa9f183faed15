"""Counts the ends of runs. The counters never fall: not when a run is deleted, and not when the process restarts."""

from collections import Counter
from collections.abc import Iterable, Mapping

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
        self.counts: Counter[EndKey] = Counter()

    def count(self, rows: Iterable[Row]) -> dict[EndKey, Counted]:
        """Count the runs that have ended since the last call. Returns what to store."""
        keys = {row.run_id: key for row in rows if (key := end_key(row))}
        existing = Counter(keys.values())
        if self._stored is not None:
            self._count_since_stored(existing)
        else:
            before = self._keys
            self.counts.update(key for run_id, key in keys.items() if before.get(run_id) != key)
        self._keys = keys
        return {key: Counted(count, existing[key]) for key, count in self.counts.items()}

    def _count_since_stored(self, existing: Mapping[EndKey, int]) -> None:
        """Only numbers are stored: an end is missed when a run of the same key was deleted in the meantime."""
        assert self._stored is not None
        for key, counted in self._stored.items():
            self.counts[key] = counted.ends
        for key, number in existing.items():
            before = self._stored.get(key, Counted(0, 0))
            self.counts[key] += max(0, number - before.existing)
        self._stored = None

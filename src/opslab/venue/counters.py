"""Counters of rejected requests, failed writes and lost clients, by kind.

The kinds are fixed: no client can make the table grow.
"""

from collections import Counter

FAILED_LEDGER_WRITES = "failed ledger writes"


class Counters:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reported_total = 0

    def count(self, kind: str) -> None:
        self._counts[kind] += 1

    def count_api_error(self, code: int) -> None:
        self._counts[f"refused {code}"] += 1

    def number(self, kind: str) -> int:
        return self._counts[kind]

    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    def changed_counts(self) -> dict[str, int] | None:
        """All counts; None when none changed since the last call."""
        total = self._counts.total()
        if total == self._reported_total:
            return None
        self._reported_total = total
        return self.counts()

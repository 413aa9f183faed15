"""What the venue turned away, counted by kind. Kinds are few and our own: no client can make the count grow."""

from collections import Counter


class Counters:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told = 0

    def count(self, kind: str) -> None:
        self._counts[kind] += 1

    def count_api_error(self, code: int) -> None:
        self._counts[f"refused {code}"] += 1

    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    def changed_counts(self) -> dict[str, int] | None:
        """All counts, when they have changed since this was last asked."""
        total = self._counts.total()
        if total == self._told:
            return None
        self._told = total
        return self.counts()

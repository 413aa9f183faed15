"""Time that a feed of a paper run spent in each state."""

from collections import defaultdict
from dataclasses import dataclass, field

from opslab.model.messages.paper_messages import FeedState
from opslab.model.run.paper_summary import FeedFacts


@dataclass(slots=True)
class FeedStats:
    """All times are seconds of one clock; any clock will do."""

    state: FeedState = "recovering"
    since_s: float = 0.0
    changes: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Per state."""
    longest_notice_seconds: float | None = None
    """The longest delay until a change was noticed."""

    def changed(self, to: FeedState, noticed_after_seconds: float | None, now_s: float) -> None:
        self._add_time(now_s)
        self.state = to
        if noticed_after_seconds is not None:
            self.longest_notice_seconds = max(self.longest_notice_seconds or 0.0, noticed_after_seconds)
        self.changes += 1

    def summary(self, messages: int, now_s: float) -> FeedFacts:
        self._add_time(now_s)
        return FeedFacts(
            messages=messages,
            changes=self.changes,
            silent_seconds=round(self.seconds["silent"], 3),
            disconnected_seconds=round(self.seconds["disconnected"], 3),
            noticed_after_seconds_max=self.longest_notice_seconds,
        )

    def _add_time(self, now_s: float) -> None:
        """Time before the first change counts for no state."""
        if self.changes:
            self.seconds[self.state] += now_s - self.since_s
        self.since_s = now_s

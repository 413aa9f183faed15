"""The state of a feed, from its connection and its messages. Times are seconds of a monotonic clock."""

from dataclasses import dataclass

from opslab.model.messages.paper_messages import FeedState


@dataclass(frozen=True, slots=True)
class FeedChange:
    before: FeedState
    after: FeedState
    noticed_after_seconds: float
    """To `disconnected` and `recovering`: since the socket's event. To `live`: since the first message. To `silent`:
    since the last message, or since the connection when no message came over it; this includes the threshold."""
    age_seconds: float | None
    """Age of the last message; None: no message yet."""


def judge(up_at: float | None, last_at: float | None, now: float, silent_after: float) -> FeedState:
    """up_at: time of the connection; None: disconnected. last_at: time of the last message, if there was one.

    A message counts only for its own connection: after a reconnect the feed is `recovering` until the next message.
    """
    if up_at is None:
        return "disconnected"
    if now - (up_at if last_at is None else max(up_at, last_at)) > silent_after:
        return "silent"
    return "recovering" if last_at is None or last_at < up_at else "live"


class Feed:
    """One monitored feed. Starts connected and `recovering`: without a message yet."""

    __slots__ = ("_down_at", "_first_at", "_silent_after", "_up_at", "count", "last_at", "state")

    def __init__(self, silent_after: float, started_at: float) -> None:
        self.state: FeedState = "recovering"
        self.count = 0
        """Number of messages."""
        self.last_at: float | None = None
        self._silent_after = silent_after
        self._up_at: float | None = started_at
        self._down_at = started_at
        self._first_at: float | None = None
        """Time of the first message since the last `update`."""

    def message(self, at: float) -> None:
        """Called for every message: kept short."""
        self.count += 1
        self.last_at = at
        if self._first_at is None:
            self._first_at = at

    def connected(self, at: float) -> None:
        if self._up_at is None:
            self._up_at = at

    def disconnected(self, at: float) -> None:
        if self._up_at is not None:
            self._up_at, self._down_at = None, at

    def age_seconds(self, now: float) -> float | None:
        return None if self.last_at is None else max(0.0, now - self.last_at)

    def update(self, now: float) -> FeedChange | None:
        """Judge the feed and store its state; None when the state is unchanged."""
        before, first_at = self.state, self._first_at
        self._first_at = None
        after = judge(self._up_at, self.last_at, now, self._silent_after)
        if after == before:
            return None
        self.state = after
        changed_at = self._changed_at(after, first_at, now)
        return FeedChange(before, after, max(0.0, now - changed_at), self.age_seconds(now))

    def _changed_at(self, after: FeedState, first_at: float | None, now: float) -> float:
        if after == "disconnected" or self._up_at is None:
            return self._down_at
        if after == "recovering":
            return self._up_at
        if after == "live":
            return now if first_at is None else max(first_at, self._up_at)
        return self._up_at if self.last_at is None else max(self._up_at, self.last_at)

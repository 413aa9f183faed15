"""What state a feed is in, from what was seen of it. Every instant is in seconds of one clock that never jumps."""

from dataclasses import dataclass

from opslab.model.messages.paper_messages import FeedState


@dataclass(frozen=True, slots=True)
class FeedChange:
    before: FeedState
    after: FeedState
    noticed_after_seconds: float
    """To `disconnected` and `recovering`: since the socket's event. To `live`: since the first message. To `silent`:
    since the last one, or since the connection when none came over it, so that the threshold is part of it."""
    age_seconds: float | None
    """Of the last message; None: none ever came."""


def judge(up_at: float | None, last_at: float | None, now: float, silent_after: float) -> FeedState:
    """up_at: since when the feed's socket is connected; None: it is not. last_at: of the last message, if any came.

    A message counts for the connection that it came over: behind a new one the feed recovers until it says something.
    """
    if up_at is None:
        return "disconnected"
    if now - (up_at if last_at is None else max(up_at, last_at)) > silent_after:
        return "silent"
    return "recovering" if last_at is None or last_at < up_at else "live"


class Feed:
    """One feed as it is watched. Begins connected, and `recovering`: nothing has come yet."""

    __slots__ = ("_down_at", "_first_at", "_silent_after", "_up_at", "count", "last_at", "state")

    def __init__(self, silent_after: float, started_at: float) -> None:
        self.state: FeedState = "recovering"
        self.count = 0
        """Messages seen."""
        self.last_at: float | None = None
        self._silent_after = silent_after
        self._up_at: float | None = started_at
        self._down_at = started_at
        self._first_at: float | None = None
        """Of the messages that nobody has judged yet."""

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

    def look(self, now: float) -> FeedChange | None:
        """Judge, and take on what was found; None when that is nothing new."""
        before, first_at = self.state, self._first_at
        self._first_at = None
        after = judge(self._up_at, self.last_at, now, self._silent_after)
        if after == before:
            return None
        self.state = after
        since = self._since(after, first_at, now)
        return FeedChange(before, after, max(0.0, now - since), self.age_seconds(now))

    def _since(self, after: FeedState, first_at: float | None, now: float) -> float:
        if after == "disconnected" or self._up_at is None:
            return self._down_at
        if after == "recovering":
            return self._up_at
        if after == "live":
            return now if first_at is None else max(first_at, self._up_at)
        return self._up_at if self.last_at is None else max(self._up_at, self.last_at)

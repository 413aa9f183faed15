"""Every seam to the outside world, as the inside sees it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from opslab.model.run.metadata import Owner


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall clock, nanoseconds since 1970 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps."""
        ...


class Processes(Protocol):
    """The process table."""

    def me(self) -> Owner: ...

    def is_alive(self, owner: Owner, run_id: str) -> bool:
        """Whether that very process still runs `run_id`: a reused pid or a reboot does not count."""
        ...


class MessageSink(Protocol):
    """Where an engine child sends what happens. A frame is one JSON object; see `model/messages/engine_messages.py`."""

    def send(self, frame: Mapping[str, Any]) -> None:
        """Deliver in order, waiting for room."""
        ...

    def offer(self, frame: Mapping[str, Any]) -> None:
        """Deliver if there is room, else count it as dropped."""
        ...


class Moment(NamedTuple):
    """How far a replay is: `tick` ticks of the candle numbered `minute` (from 0) have been sent."""

    minute: int
    tick: int


class Ledger(Protocol):
    """Where a venue keeps what it acknowledges."""

    @property
    def transactions(self) -> int:
        """How many it holds."""
        ...

    def append(self, events: Sequence[Mapping[str, Any]], at: Moment) -> None:
        """One transaction, durable before this returns. Raises Unwritable, and then nothing of it was kept."""
        ...

    def mark(self, at: Moment) -> None:
        """Note how far the replay is; survives the process, not the machine."""
        ...

    def use_reserve(self) -> None:
        """From here on also the room that was kept for ending what is open, on a disk that is full."""
        ...


Progress = Callable[[int, int | None], None]
"""Called with the amount done since the last call, and an estimate of all there is where one can be made."""

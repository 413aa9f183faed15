"""Every interface between the lab and the outside world."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from opslab.model.run.metadata import Owner

if TYPE_CHECKING:  # a command that reads runs needs no message
    from opslab.model.pipe.messages import EngineMessage


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall clock, nanoseconds since 1970 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps."""
        ...


class Processes(Protocol):
    """The process table."""

    def this_process(self) -> Owner: ...

    def is_alive(self, owner: Owner, run_id: str) -> bool:
        """Whether that very process still runs `run_id`: a reused pid or a reboot does not count."""
        ...


class MessageSink(Protocol):
    """Sends the messages of an engine child."""

    @property
    def dropped(self) -> int:
        """Number of messages that were not delivered because the queue was full."""
        ...

    def send(self, message: "EngineMessage") -> None:
        """Deliver in order; wait while the queue is full."""
        ...

    def send_order_event(self, event: Any, payload: Callable[[Any], Mapping[str, Any]]) -> None:
        """As `send`, for an order event with this payload. `payload` is called later, by another thread."""
        ...

    def offer(self, message: "EngineMessage") -> None:
        """Deliver unless the queue is full; then count the message as dropped."""
        ...


class Moment(NamedTuple):
    """A position of the replay: `tick` ticks of the candle numbered `minute` (from 0) have been sent."""

    minute: int
    tick: int


class Ledger(Protocol):
    """Storage of the transactions that a venue acknowledges."""

    @property
    def transactions(self) -> int:
        """Number of stored transactions."""
        ...

    def append(self, events: Sequence[Mapping[str, Any]], at: Moment) -> None:
        """Store one transaction, durable before this returns. Raises Unwritable; then nothing of it is stored."""
        ...

    def mark(self, at: Moment) -> None:
        """Store the position of the replay; it survives the process, not the machine."""
        ...

    def use_reserve(self) -> None:
        """From now on use the space too that is reserved for closing open orders and the position on a full disk."""
        ...


Progress = Callable[[int, int | None], None]
"""Called with the amount done since the last call, and an estimate of the total where there is one."""

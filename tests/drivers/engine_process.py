"""Drive the engine child of a paper run in a test: its plan, commands and signals, against a served venue."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self, get_args

from pydantic_core import from_json

from opslab.model.messages.engine_messages import EngineLimits, LivePlan, ScenarioPlan, UserStrategyPlan
from opslab.model.messages.paper_messages import FeedName, OnStop
from opslab.model.messages.venue_messages import VenueEndpoints
from opslab.model.pipe.messages import (
    AcknowledgeBars,
    Command,
    OrderEventName,
    ReceivedMessage,
    encode,
)
from opslab.model.primitives.instant import close_ns
from opslab.model.run.metadata import Failure
from opslab.runs.processes.child_process import ENGINE_COMMAND, ChildProcess
from opslab.system import SystemClock
from tests.drivers.venue_process import INSTRUMENT, SYMBOL, VenueProcess

WAIT_SECONDS = 30.0
Message = dict[str, Any]
SILENT: dict[FeedName, float] = {"bars": 60.0, "quotes": 60.0, "trades": 60.0}
"""For tests that are not about feeds: on a busy machine a feed may pause."""


class PacedVenue(VenueProcess):
    """At full speed: each minute waits until the engine has processed the one before."""

    def __init__(self, home: Path, folder: Path, *, minutes: int, ticks: int) -> None:
        super().__init__(home, folder, speed=None, ticks=ticks, max_bars=minutes)
        self._plan = self._plan.model_copy(update={"pace": "bar_done"})

    def send_bars_done(self, bars: int) -> None:
        assert self._child is not None
        self._child.send(AcknowledgeBars(minutes=bars))


def close_times_ns(venue: VenueProcess, rows: int) -> list[int]:
    """`ts_event` of the bars of the venue's first candles."""
    return [close_ns(candle.open_ms) for candle in islice(venue.candles(), rows)]


def document_of(message: ReceivedMessage) -> Message:
    """A message as it crossed the pipe: an object whose one key is its kind."""
    document: Message = from_json(encode(message))
    return document


def payload_of(message: Message, event: str) -> Message | None:
    """The payload of an event with this name; None for anything else."""
    if event in get_args(OrderEventName):
        return message.get(event)
    payload: Message | None = message["event"]["payload"] if message.get("event", {}).get("name") == event else None
    return payload


class EngineProcess:
    """`received` has all messages of the process; `with` leaves no process running."""

    def __init__(
        self,
        venue: VenueProcess,
        log: Path,
        *,
        scenario: str = "order_lifecycle_demo",
        user_strategy: UserStrategyPlan | None = None,
        command: Sequence[str] = ENGINE_COMMAND,
        rows: int = 1_000,
        number: int = 1,
        earlier_order_ids: tuple[str, ...] = (),
        on_stop: OnStop = "flatten",
        silent_after: dict[FeedName, float] = SILENT,
        endpoints: VenueEndpoints | None = None,
        acknowledges_bars: bool = False,
        max_notional: str = "100000",
        on_message: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        self.received: list[tuple[float, Message]] = []
        """(time of arrival on the monotonic clock, message), in order."""
        self._log = log
        self._on_message = on_message
        self._arrival = threading.Condition()
        self._is_ended = self._is_closed = False
        plan = LivePlan(
            run_id="contract",
            strategy=user_strategy or ScenarioPlan(name=scenario, version="v1"),
            symbol=SYMBOL,
            bar_type=INSTRUMENT.bar_type,
            endpoints=endpoints or venue.endpoints,
            rows=rows,
            last_close_ns=close_times_ns(venue, rows)[-1],
            number=number,
            earlier_order_ids=earlier_order_ids,
            on_stop=on_stop,
            silent_after_seconds=silent_after,
            acknowledges_bars=acknowledges_bars,
            limits=EngineLimits(max_notional_per_order=max_notional, max_orders_per_second=100),
        )
        self._child = ChildProcess("engine", plan, log, SystemClock(), command)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_closed:
            self._child.kill()
            self._reader.join()
            self._child.close()

    def send(self, command: Command) -> None:
        self._child.send(command)

    def signal(self, number: signal.Signals) -> None:
        self._child._signal(number)

    def close_input(self) -> None:
        """Close its standard input, as the death of control does."""
        pipe = self._child._child.stdin
        assert pipe
        pipe.close()

    def kill(self) -> None:
        """kill -9; returns when the process has ended and all its messages are received."""
        self._child.kill()
        self._reader.join()

    def end(self, seconds: float = WAIT_SECONDS) -> Failure | None:
        """Wait until the process has ended by itself; its failure, if it has one."""
        self._reader.join(seconds)
        assert not self._reader.is_alive(), f"it did not end within {seconds} s: {self.messages()[-3:]}"
        self._child.close()
        self._is_closed = True
        return self._child.failure(str)

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def messages(self, key: str | None = None) -> list[Any]:
        """Content of the messages of that kind; without a kind, all messages."""
        messages = [message for _, message in list(self.received)]
        return messages if key is None else [message[key] for message in messages if key in message]

    def events(self, name: str) -> list[Message]:
        payloads = (payload_of(message, name) for message in self.messages())
        return [payload for payload in payloads if payload is not None]

    def wait(self, key: str, fits: Callable[[Any], bool] = lambda _content: True, seconds: float = WAIT_SECONDS) -> Any:
        """The first message that fits, as soon as it is received."""
        return self._wait(lambda message: key in message and fits(message[key]), key, seconds)[1][key]

    def wait_event(
        self, name: str, fits: Callable[[Message], bool] = lambda _payload: True, seconds: float = WAIT_SECONDS
    ) -> Message:
        def is_event(message: Message) -> bool:
            payload = payload_of(message, name)
            return payload is not None and fits(payload)

        payload = payload_of(self._wait(is_event, name, seconds)[1], name)
        assert payload is not None
        return payload

    def arrival(self, key: str, fits: Callable[[Any], bool] = lambda _content: True) -> float:
        """Time of the first message that fits, on the monotonic clock."""
        return self._wait(lambda message: key in message and fits(message[key]), key, WAIT_SECONDS)[0]

    def _wait(self, fits: Callable[[Message], bool], name: str, seconds: float) -> tuple[float, Message]:
        deadline = time.monotonic() + seconds
        checked = 0
        with self._arrival:
            while True:
                for arrival in self.received[checked:]:
                    if fits(arrival[1]):
                        return arrival
                checked = len(self.received)
                remaining_seconds = deadline - time.monotonic()
                if self._is_ended or remaining_seconds <= 0:
                    reason = "it has ended" if self._is_ended else f"waited {seconds} s"
                    last = f"{self.messages()[-3:]}\n{self.printed[-2000:]}"
                    raise AssertionError(f"{reason}, and no {name} was received: {last}")
                self._arrival.wait(remaining_seconds)

    def _read(self) -> None:
        for received in self._child.messages():
            at = time.monotonic()
            messages = [document_of(message) for message in received]
            with self._arrival:
                self.received += [(at, message) for message in messages]
                self._arrival.notify_all()
            for message in messages:
                self._on_message(message)
        with self._arrival:
            self._is_ended = True
            self._arrival.notify_all()

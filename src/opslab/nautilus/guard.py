"""A strategy base that tells what the engine swallows.

The engine logs an exception of a strategy's callback and goes on as if nothing had happened. Here it is recorded and
ends the run. The same wrapper counts bars, sends order events up, and ends the run when a stop was asked for.
"""

import functools
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.trading import Strategy

from opslab.model.instrument import Instrument
from opslab.model.run import Failure
from opslab.nautilus.canonical import event_row
from opslab.ports import Frames

_BOUND = frozenset({"on_bar", "on_order_event"})
"""Wrapped by `bind`, on the instance."""


@dataclass(slots=True)
class Watch:
    """What is seen of one strategy. Plain attributes: another thread may read them, and set `stop`."""

    frames: Frames
    order_events: bool
    clean: Callable[[str], str]
    """Takes absolute paths out of a traceback."""
    bars: int = 0
    actions: int = 0
    stop: bool = False
    failure: Failure | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """Order events by type."""

    def saw_order_event(self, event: Any) -> None:
        name = type(event).__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.order_events:
            self.frames.send({"event": "order_event", "payload": event_row(event)})

    def saw_exception(self, callback: str, error: BaseException) -> None:
        if self.failure is None:
            text = "".join(traceback.format_exception(error))
            message = f"{callback} raised {type(error).__name__}: {error}"
            self.failure = Failure(kind="strategy", message=self.clean(message), detail=self.clean(text))


class Guarded(Strategy):
    """Every `on_*` handler of a subclass is wrapped. `bind` makes one ready to be added to a node."""

    watch: Watch
    instrument: Instrument

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, handler in list(cls.__dict__.items()):
            if name.startswith("on_") and name not in _BOUND and callable(handler):
                setattr(cls, name, _guarded(name, handler))


def bind(strategy: Guarded, instrument: Instrument, watch: Watch) -> None:
    """Give a strategy what it works on, and put the watch outermost around the handlers that are counted.

    On the instance, not the class: a handler that calls `super()` must not be counted twice.
    """
    strategy.instrument = instrument
    strategy.watch = watch
    strategy.on_bar = _counted_bar(strategy, strategy.on_bar, watch)  # type: ignore[assignment, method-assign]
    strategy.on_order_event = _told_order_event(strategy.on_order_event, watch)  # type: ignore[assignment, method-assign]


def _counted_bar(strategy: Guarded, handler: Callable[[Any], None], watch: Watch) -> Callable[[Any], None]:
    """The one wrapper that runs for every bar: kept short."""

    def on_bar(bar: Any) -> None:
        watch.bars += 1
        try:
            handler(bar)
        except BaseException as error:  # noqa: BLE001  (whatever a strategy raises is recorded)
            watch.saw_exception("on_bar", error)
            watch.stop = True
        if watch.stop:
            strategy.shutdown_system("stop")

    return on_bar


def _told_order_event(handler: Callable[[Any], None], watch: Watch) -> Callable[[Any], None]:
    def on_order_event(event: Any) -> None:
        watch.saw_order_event(event)
        try:
            handler(event)
        except BaseException as error:
            watch.saw_exception("on_order_event", error)
            watch.stop = True
            raise

    return on_order_event


def _guarded(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def guarded(self: Guarded, *args: Any, **kwargs: Any) -> Any:
        try:
            return handler(self, *args, **kwargs)
        except BaseException as error:
            self.watch.saw_exception(name, error)
            self.watch.stop = True
            raise

    return guarded

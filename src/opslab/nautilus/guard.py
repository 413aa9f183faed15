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
    """Every `on_*` handler of a subclass is wrapped. Its attributes are set before it is added to a node."""

    watch: Watch
    instrument: Instrument

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, handler in list(cls.__dict__.items()):
            if name.startswith("on_") and callable(handler):
                setattr(cls, name, _on_bar(handler) if name == "on_bar" else _guarded(name, handler))

    def on_order_event(self, event: Any) -> None:
        self.watch.saw_order_event(event)

    def end_run(self, reason: str) -> None:
        """End the run from within a callback."""
        self.shutdown_system(reason)


def _on_bar(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The one wrapper that runs for every bar: kept short."""

    @functools.wraps(handler)
    def on_bar(self: Guarded, bar: Any) -> None:
        watch = self.watch
        watch.bars += 1
        try:
            handler(self, bar)
        except BaseException as error:  # noqa: BLE001  (whatever a strategy raises is recorded)
            watch.saw_exception("on_bar", error)
            watch.stop = True
        if watch.stop:
            self.end_run("stop")

    return on_bar


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

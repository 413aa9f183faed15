"""A strategy base that tells what the engine swallows, and lets no order pass once a run is to end.

The engine logs an exception of a strategy's callback and goes on as if nothing had happened. Here it is recorded and
ends the run. The same wrappers count bars, send order events up, and end the run when a stop was asked for.
"""

import functools
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.common import Clock
from nautilus_trader.trading import Strategy

from opslab.model.run.metadata import Failure
from opslab.model.run.results import Results
from opslab.nautilus.canonical import event_row
from opslab.nautilus.strategy.denied_orders import MAX_RECORDED, denied_request
from opslab.ports import MessageSink

HANDLERS = (*sorted(name for name in dir(Strategy) if name.startswith("on_")), "post_market_exit")
"""Everything the engine calls on a strategy."""

GATED = (
    "submit_order",
    "submit_order_list",
    "modify_order",
    "modify_orders",
    "close_position",
    "close_all_positions",
    "market_exit",
)
"""Every way in which a strategy makes or changes an order. Cancels are always let through."""
DEFAULT_ID = "LAB-001"
"""Id of a strategy that was given none."""

_MESSAGE_CHARACTERS = 1_000
_DETAIL_CHARACTERS = 64_000

Handler = Callable[..., Any]


@dataclass(slots=True)
class StrategyRecorder:
    """What is seen of one strategy. Plain attributes: another thread may read them, and set `stop`."""

    messages: MessageSink
    results: Results
    order_events: bool
    redact: Callable[[str], str]
    """Takes absolute paths out of a traceback."""
    bars: int = 0
    actions: int = 0
    stop: bool = False
    """Also closes the gate: no order passes any more, be it new, changed or a closing one."""
    stopped: bool = False
    """Whether the run was ended because of it."""
    halted: bool = False
    """Whether the gate was closed by the kill switch: what it keeps back is told then."""
    gated: int = 0
    """What the gate kept back."""
    failure: Failure | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """Order events by type."""
    last_ts: int = 0
    recorded_ids: set[str] = field(default_factory=set)
    """Ids of the order events of the instant `last_ts`, the latest there was one."""

    def deny(self, call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep an order back."""
        self.gated += 1
        if self.halted and self.gated <= MAX_RECORDED:
            self.messages.offer({"event": "order_gated", "payload": denied_request(call, args, kwargs)})

    def wrap_bar_handler(self, strategy: "Guarded", handler: Handler) -> Handler:
        """What the engine calls for a bar."""
        return _counted_bar(strategy, handler, self)

    def wrap_order_event_handler(self, handler: Handler) -> Handler:
        return _recorded_order_event(handler, self)

    def wrap_start_handler(self, handler: Handler) -> Handler:
        """What the engine calls when the strategy is to begin."""
        return guarded("on_start", handler, self)

    def record_order_event(self, event: Any) -> None:
        self.record_values(type(event).__name__, event.to_dict())

    def record_values(self, name: str, values: dict[str, Any]) -> None:
        """Of an order event, as the engine's `to_dict` gives them, which is asked once: it costs more than the rest."""
        self.counts[name] = self.counts.get(name, 0) + 1
        if values["ts_event"] != self.last_ts:
            self.last_ts = values["ts_event"]
            self.recorded_ids.clear()
        self.recorded_ids.add(values["event_id"])
        self.results.order_event(values)
        if self.order_events:
            self.messages.send({"event": "order_event", "payload": self.event_payload(values)})

    def event_payload(self, values: dict[str, Any]) -> dict[str, Any]:
        """What is sent of an order event. values: as the engine's `to_dict` gives them."""
        return event_row(values)

    def catch_up(self, orders: Iterable[Any]) -> None:
        """Take in what nobody was told: the engine tells a strategy nothing of the orders of its `on_stop`."""
        since, recorded_ids = self.last_ts, frozenset(self.recorded_ids)
        for order in orders:
            if order.ts_last < since:
                continue
            for event in order.events():
                if event.ts_event >= since and str(event.event_id) not in recorded_ids:
                    self.record_order_event(event)

    def record_exception(self, where: str, error: BaseException) -> None:
        """The first one is why the run fails; every one ends it."""
        if self.failure is None:
            text = bounded("".join(traceback.format_exception(error)), _DETAIL_CHARACTERS)
            message = bounded(f"{where} raised {described(error)}", _MESSAGE_CHARACTERS)
            self.failure = Failure(kind="strategy", message=self.redact(message), detail=self.redact(text))
        self.stop = True


def described(error: BaseException) -> str:
    """`ValueError: text`, also for an exception that cannot even say its text."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  (it is the user's __str__)
        text = "(its text cannot be made)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def bounded(text: str, characters: int) -> str:
    """Its beginning and its end when it is long, without what is no character of any text."""
    if len(text) > characters:
        text = f"{text[: characters // 2]} ... {text[-characters // 2 :]}"
    return text.encode(errors="backslashreplace").decode()


class GuardedClock:
    """The engine's clock, with callbacks that are recorded when they raise. Everything else is the clock's own."""

    def __init__(self, clock: Clock, recorder: StrategyRecorder) -> None:
        self._clock = clock
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._clock, name)
        if name.startswith("set_time") and name != "set_time":
            return self._with_callback(
                value, position=4 if name in ("set_timer", "set_timer_ns", "set_timer_zoned") else 2
            )
        if name == "register_default_handler":
            return self._with_callback(value, position=0)
        return value

    def _with_callback(self, method: Handler, position: int) -> Handler:
        """`method`, whose parameter `callback` stands at `position` when it is not given by name."""

        def call(*args: Any, **kwargs: Any) -> Any:
            values = list(args)
            if len(values) > position:
                values[position] = self._guarded(values[position])
            elif "callback" in kwargs:
                kwargs["callback"] = self._guarded(kwargs["callback"])
            return method(*values, **kwargs)

        return call

    def _guarded(self, callback: Any) -> Any:
        return (
            guarded(f"timer callback {named(callback)}", callback, self._recorder) if callable(callback) else callback
        )


class Guarded(Strategy):
    """Base of every strategy that runs in the lab; a user's too, who finds it under the name `Strategy`.

    Its own attributes begin with `_opslab`: all other names are the strategy's.
    """

    _opslab_recorder: StrategyRecorder
    _opslab_handlers: dict[str, Handler]
    _opslab_topics: dict[Any, Handler]

    @property
    def clock(self) -> Any:
        return GuardedClock(super().clock, self._opslab_recorder)

    def subscribe_topic(self, topic: str, handler: Handler, priority: int = 0) -> None:
        wrapped = guarded(f"topic handler {named(handler)}", handler, self._opslab_recorder)
        wrapped = self._opslab_topics.setdefault((topic, handler), wrapped)
        super().subscribe_topic(topic, wrapped, priority)

    def unsubscribe_topic(self, topic: str, handler: Handler) -> None:
        super().unsubscribe_topic(topic, self._opslab_topics.pop((topic, handler), handler))

    def register_indicator_for_bars(self, bar_type: Any, indicator: Any) -> None:
        super().register_indicator_for_bars(bar_type, self._opslab_indicator(indicator))

    def register_indicator_for_quote_ticks(self, instrument_id: Any, indicator: Any) -> None:
        super().register_indicator_for_quote_ticks(instrument_id, self._opslab_indicator(indicator))

    def register_indicator_for_trade_ticks(self, instrument_id: Any, indicator: Any) -> None:
        super().register_indicator_for_trade_ticks(instrument_id, self._opslab_indicator(indicator))

    def _opslab_indicator(self, indicator: Any) -> Any:
        """An indicator that raises costs the strategy the bar, silently (measured): one in Python is wrapped too."""
        for name in ("handle_bar", "handle_quote_tick", "handle_trade_tick", "handle_quote", "handle_trade"):
            handler = getattr(indicator, name, None)
            if handler is None or getattr(handler, "opslab_guarded", False):
                continue
            try:
                setattr(indicator, name, guarded(f"indicator {named(handler)}", handler, self._opslab_recorder))
            except AttributeError:  # the engine's own indicators are closed, and do not raise
                break
        return indicator


def _through_gate(name: str) -> Handler:
    """The engine's method of that name while the gate is open; afterwards a count."""
    engines: Handler = getattr(Strategy, name)

    @functools.wraps(engines)
    def method(self: Guarded, *args: Any, **kwargs: Any) -> None:
        if self._opslab_recorder.stop:
            self._opslab_recorder.deny(name, args, kwargs)
        else:
            engines(self, *args, **kwargs)

    return method


for _name in GATED:
    setattr(Guarded, _name, _through_gate(_name))


def bind(strategy: Guarded, recorder: StrategyRecorder) -> None:
    """Put the watch outermost around every handler of a strategy, to make it ready to be added to a node.

    On the instance, not the class: it covers handlers of mixins, and one that calls `super()` is not counted twice.
    """
    strategy._opslab_recorder = recorder
    strategy._opslab_topics = {}
    handlers: dict[str, Handler] = {
        "on_bar": recorder.wrap_bar_handler(strategy, strategy.on_bar),
        "on_start": recorder.wrap_start_handler(strategy.on_start),
        "on_order_event": recorder.wrap_order_event_handler(strategy.on_order_event),
    }
    for name in HANDLERS:
        own = name in vars(strategy) or getattr(type(strategy), name, None) is not getattr(Strategy, name)
        if own and name not in handlers:
            handlers[name] = guarded(name, getattr(strategy, name), recorder)
    for name, handler in handlers.items():
        setattr(strategy, name, handler)
    strategy._opslab_handlers = handlers


def replaced(strategy: Guarded) -> list[str]:
    """Handlers that the strategy put in the place of the guarded ones: nobody saw what they did."""
    own = vars(strategy)
    return [name for name in HANDLERS if own.get(name) is not strategy._opslab_handlers.get(name)]


def guarded(where: str, handler: Handler, recorder: StrategyRecorder) -> Handler:
    """`handler`, whose exceptions are recorded before the engine swallows them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except BaseException as error:
            recorder.record_exception(where, error)
            raise

    with suppress(Exception):  # a callable object may answer anything
        functools.update_wrapper(call, handler)
    call.opslab_guarded = True  # type: ignore[attr-defined]
    return call


def named(callback: Any) -> str:
    return str(getattr(callback, "__qualname__", None) or type(callback).__name__)


def _counted_bar(strategy: Guarded, handler: Handler, recorder: StrategyRecorder) -> Handler:
    """The one wrapper that runs for every bar: kept short."""

    def on_bar(bar: Any) -> None:
        recorder.bars += 1
        try:
            handler(bar)
        except BaseException as error:  # noqa: BLE001  (whatever a strategy raises is recorded)
            recorder.record_exception("on_bar", error)
        if recorder.stop:
            recorder.stopped = True
            strategy.shutdown_system("stop")

    return on_bar


def _recorded_order_event(handler: Handler, recorder: StrategyRecorder) -> Handler:
    def on_order_event(event: Any) -> None:
        recorder.record_order_event(event)
        try:
            handler(event)
        except BaseException as error:
            recorder.record_exception("on_order_event", error)
            raise

    return on_order_event

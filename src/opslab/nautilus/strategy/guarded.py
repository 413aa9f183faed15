"""The guard of a strategy: records exceptions that the engine swallows, and closes the order gate at the end of a run.

The engine logs an exception of a strategy's callback and continues. The guard records it and ends the run. The same
wrappers count bars, send order events to control, and end the run when a stop was requested.
"""

import functools
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nautilus_trader.common import Clock
from nautilus_trader.trading import Strategy

from opslab.model.pipe.messages import OrderEvent
from opslab.model.run.metadata import Failure
from opslab.nautilus.canonical import event_row
from opslab.nautilus.strategy.denied_orders import MAX_RECORDED, denied_request
from opslab.nautilus.strategy.served_data import Check, backtest_check
from opslab.nautilus.strategy.subscriptions import HANDLER_OF, REQUEST_HANDLER_OF, Subscriptions
from opslab.ports import MessageSink

HANDLERS = (*sorted(name for name in dir(Strategy) if name.startswith("on_")), "post_market_exit")
"""All methods that the engine calls on a strategy."""

GATED = (
    "submit_order",
    "submit_order_list",
    "modify_order",
    "modify_orders",
    "close_position",
    "close_all_positions",
    "market_exit",
)
"""All methods with which a strategy creates or changes an order. Cancels always pass the gate."""
DEFAULT_ID = "LAB-001"
"""Id of a strategy whose config has none."""

_MESSAGE_CHARACTERS = 1_000
_DETAIL_CHARACTERS = 64_000

Handler = Callable[..., Any]


@dataclass(slots=True)
class StrategyRecorder:
    """Records one strategy. Plain attributes: another thread may read them, and set `stop_requested`."""

    messages: MessageSink
    instrument_id: str
    """The run's instrument, in the engine's notation."""
    bar_type: str
    """The bars of the run. Bars of other types are counted beside, by type; in a live node they are not sent."""
    redact: Callable[[str], str]
    """Removes absolute paths from a traceback."""
    bars: int = 0
    """Bars of the run's own type that the strategy received."""
    received_bars: int = 0
    """Of a live node: bars of the run's own type that reached the engine."""
    subscriptions: Subscriptions = field(init=False)
    actions: int = 0
    stop_requested: bool = False
    """Also closes the gate: no order passes any more, neither a new one nor a change nor a closing one."""
    halted: bool = False
    """Whether the kill switch closed the gate: then denied requests are recorded."""
    gated: int = 0
    """Number of requests that the gate denied."""
    failure: Failure | None = None
    last_event_ns: int = 0
    """`ts_event` of the last order event."""
    last_events: list[Any] = field(default_factory=list)
    """The order events at `last_event_ns`."""

    def __post_init__(self) -> None:
        self.subscriptions = Subscriptions(self.bar_type, self.subscription_check(), self.messages)

    def subscription_check(self) -> Check:
        return backtest_check(self.bar_type)

    def deny(self, call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Count a request that the gate denies; in a halt, record it."""
        self.gated += 1
        if self.halted and self.gated <= MAX_RECORDED:
            self.messages.offer(OrderEvent("order_gated", denied_request(call, args, kwargs)))

    def wrap_bar_handler(self, strategy: "Guarded", handler: Handler) -> Handler:
        return _counting_bar_handler(strategy, handler, self)

    def wrap_order_event_handler(self, handler: Handler) -> Handler:
        return _recording_order_event_handler(handler, self)

    def wrap_start_handler(self, handler: Handler) -> Handler:
        return guard_handler("on_start", handler, self)

    def wrap_handler(self, name: str, handler: Handler) -> Handler:
        """name: of any other handler."""
        return guard_handler(name, handler, self)

    def record_order_event(self, event: Any) -> None:
        """Every order event passes here on the engine's thread: the payload is made by the thread that sends it."""
        self.note_order_event(event)
        self.messages.send_order_event(event, self.event_payload)

    def note_order_event(self, event: Any) -> None:
        event_ns = event.ts_event
        if event_ns == self.last_event_ns:
            self.last_events.append(event)
        else:
            self.last_event_ns, self.last_events = event_ns, [event]

    def event_payload(self, event: Any) -> dict[str, Any]:
        return event_row(event.to_dict(), self.instrument_id)

    def record_missed_events(self, orders: Iterable[Any]) -> None:
        """Record the events of the orders of `on_stop`: the engine does not deliver them to the strategy."""
        since, recorded_ids = self.last_event_ns, {str(event.event_id) for event in self.last_events}
        for order in orders:
            if order.ts_last < since:
                continue
            for event in order.events():
                if event.ts_event >= since and str(event.event_id) not in recorded_ids:
                    self.record_order_event(event)

    def record_exception(self, where: str, error: BaseException) -> None:
        """The first exception is the failure of the run; each one requests its end."""
        if self.failure is None:
            text = shorten("".join(traceback.format_exception(error)), _DETAIL_CHARACTERS)
            message = shorten(f"{where} raised {describe_exception(error)}", _MESSAGE_CHARACTERS)
            self.failure = Failure(kind="strategy", message=self.redact(message), detail=self.redact(text))
        self.stop_requested = True


def describe_exception(error: BaseException) -> str:
    """`ValueError: text`, also for an exception whose `__str__` raises."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  (it is the user's __str__)
        text = "(its __str__ raised)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shorten(text: str, characters: int) -> str:
    """Start and end of a long text; surrogates are escaped."""
    if len(text) > characters:
        text = f"{text[: characters // 2]} ... {text[-characters // 2 :]}"
    return text.encode(errors="backslashreplace").decode()


class GuardedClock:
    """The engine's clock, whose callbacks are guarded. All other attributes are those of the clock."""

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
        """`method` with a guarded callback: its parameter `callback`, or the argument at `position`."""

        def call(*args: Any, **kwargs: Any) -> Any:
            values = list(args)
            if len(values) > position:
                values[position] = self._guarded(values[position])
            elif "callback" in kwargs:
                kwargs["callback"] = self._guarded(kwargs["callback"])
            return method(*values, **kwargs)

        return call

    def _guarded(self, callback: Any) -> Any:
        if not callable(callback):
            return callback
        return guard_handler(f"timer callback {callable_name(callback)}", callback, self._recorder)


class Guarded(Strategy):
    """Base of every strategy in the lab. A user strategy derives from it too: it is the `Strategy` that it imports.

    Its own attributes begin with `_opslab`: all other names belong to the strategy.
    """

    _opslab_recorder: StrategyRecorder
    _opslab_handlers: dict[str, Handler]
    _opslab_topics: dict[Any, Handler]

    @property
    def clock(self) -> Any:
        return GuardedClock(super().clock, self._opslab_recorder)

    def subscribe_topic(self, topic: str, handler: Handler, priority: int = 0) -> None:
        wrapped = guard_handler(f"topic handler {callable_name(handler)}", handler, self._opslab_recorder)
        wrapped = self._opslab_topics.setdefault((topic, handler), wrapped)
        super().subscribe_topic(topic, wrapped, priority)

    def unsubscribe_topic(self, topic: str, handler: Handler) -> None:
        super().unsubscribe_topic(topic, self._opslab_topics.pop((topic, handler), handler))

    def unsubscribe_bars(self, bar_type: Any, *args: Any, **kwargs: Any) -> None:
        super().unsubscribe_bars(bar_type, *args, **kwargs)
        if not self._opslab_recorder.stop_requested:
            self._opslab_recorder.subscriptions.cancel_bars(str(bar_type))

    def register_indicator_for_bars(self, bar_type: Any, indicator: Any) -> None:
        super().register_indicator_for_bars(bar_type, self._opslab_guard_indicator(indicator))

    def register_indicator_for_quote_ticks(self, instrument_id: Any, indicator: Any) -> None:
        super().register_indicator_for_quote_ticks(instrument_id, self._opslab_guard_indicator(indicator))

    def register_indicator_for_trade_ticks(self, instrument_id: Any, indicator: Any) -> None:
        super().register_indicator_for_trade_ticks(instrument_id, self._opslab_guard_indicator(indicator))

    def _opslab_guard_indicator(self, indicator: Any) -> Any:
        """If an indicator raises, the strategy silently loses the bar (measured): one in Python is guarded too."""
        for name in ("handle_bar", "handle_quote_tick", "handle_trade_tick", "handle_quote", "handle_trade"):
            handler = getattr(indicator, name, None)
            if handler is None or getattr(handler, "opslab_guarded", False):
                continue
            try:
                where = f"indicator {callable_name(handler)}"
                setattr(indicator, name, guard_handler(where, handler, self._opslab_recorder))
            except AttributeError:  # the engine's own indicators are read-only, and do not raise
                break
        return indicator


def _gated(name: str) -> Handler:
    """The engine's method of that name while the gate is open; afterwards the call is denied."""
    engine_method: Handler = getattr(Strategy, name)

    @functools.wraps(engine_method)
    def method(self: Guarded, *args: Any, **kwargs: Any) -> None:
        if self._opslab_recorder.stop_requested:
            self._opslab_recorder.deny(name, args, kwargs)
        else:
            engine_method(self, *args, **kwargs)

    return method


def _recorded(name: str, kind: str) -> Handler:
    """The engine's method of that name, which also records the subscription or request."""
    engine_method: Handler = getattr(Strategy, name)

    @functools.wraps(engine_method)
    def method(self: Guarded, *args: Any, **kwargs: Any) -> Any:
        result = engine_method(self, *args, **kwargs)
        subject = args[0] if args else next(iter(kwargs.values()), "")
        recorder = self._opslab_recorder
        recorder.subscriptions.add(kind, str(subject), is_late=recorder.received_bars > 0)
        return result

    return method


for _name in GATED:
    setattr(Guarded, _name, _gated(_name))
for _kind in ("bars", *HANDLER_OF):
    setattr(Guarded, f"subscribe_{_kind}", _recorded(f"subscribe_{_kind}", _kind))
for _name in REQUEST_HANDLER_OF:
    setattr(Guarded, _name, _recorded(_name, _name))


def bind(strategy: Guarded, recorder: StrategyRecorder) -> None:
    """Wrap every handler of a strategy, so that it can be added to a node. The guard is the outermost wrapper.

    On the instance, not the class: this covers handlers of mixins, and counts a handler that calls `super()` once.
    """
    strategy._opslab_recorder = recorder
    strategy._opslab_topics = {}
    handlers: dict[str, Handler] = {
        "on_bar": recorder.wrap_bar_handler(strategy, strategy.on_bar),
        "on_start": recorder.wrap_start_handler(strategy.on_start),
        "on_order_event": recorder.wrap_order_event_handler(strategy.on_order_event),
    }
    for name in HANDLER_OF.values():
        counted = _counting_handler(name, getattr(strategy, name), recorder)
        handlers[name] = guard_handler(name, counted, recorder)
    for name in REQUEST_HANDLER_OF.values():
        counted = _counting_list_handler(name, getattr(strategy, name), recorder)
        handlers[name] = guard_handler(name, counted, recorder)
    for name in HANDLERS:
        is_defined = name in vars(strategy) or getattr(type(strategy), name, None) is not getattr(Strategy, name)
        if is_defined and name not in handlers:
            handlers[name] = recorder.wrap_handler(name, getattr(strategy, name))
    for name, handler in handlers.items():
        setattr(strategy, name, handler)
    strategy._opslab_handlers = handlers


def replacement_failure(strategy: Guarded) -> Failure | None:
    """The failure of a strategy that replaced a guarded handler: calls of the new one were not recorded."""
    attributes = vars(strategy)
    for name in HANDLERS:
        if attributes.get(name) is not strategy._opslab_handlers.get(name):
            message = (
                f"the strategy replaced its handler {name} while it ran; calls of the new handler were not recorded"
            )
            return Failure(kind="strategy", message=message)
    return None


def guard_handler(where: str, handler: Handler, recorder: StrategyRecorder) -> Handler:
    """`handler`, whose exceptions are recorded before the engine swallows them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except BaseException as error:
            recorder.record_exception(where, error)
            raise

    with suppress(Exception):  # a callable object may raise on any attribute
        functools.update_wrapper(call, handler)
    call.opslab_guarded = True  # type: ignore[attr-defined]
    return call


def callable_name(callback: Any) -> str:
    return str(getattr(callback, "__qualname__", None) or type(callback).__name__)


def _counting_handler(name: str, handler: Handler, recorder: StrategyRecorder) -> Handler:
    received = recorder.subscriptions.received

    def call(data: Any) -> None:
        received[name] += 1
        handler(data)

    return call


def _counting_list_handler(name: str, handler: Handler, recorder: StrategyRecorder) -> Handler:
    received = recorder.subscriptions.received

    def call(data: Any) -> None:
        received[name] += len(data)
        handler(data)

    return call


def _counting_bar_handler(strategy: Guarded, handler: Handler, recorder: StrategyRecorder) -> Handler:
    """The only wrapper that runs for every bar: kept short. A bar's type is read only when there are others."""
    subscriptions = recorder.subscriptions

    def on_bar(bar: Any) -> None:
        if subscriptions.has_other_bars and not subscriptions.is_own(bar):
            subscriptions.count_other(bar)
        else:
            recorder.bars += 1
        try:
            handler(bar)
        except BaseException as error:  # noqa: BLE001  (any exception of a strategy is recorded)
            recorder.record_exception("on_bar", error)
        if recorder.stop_requested:
            strategy.shutdown_system("stop")

    return on_bar


def _recording_order_event_handler(handler: Handler, recorder: StrategyRecorder) -> Handler:
    record = recorder.record_order_event

    def on_order_event(event: Any) -> None:
        record(event)
        try:
            handler(event)
        except BaseException as error:
            recorder.record_exception("on_order_event", error)
            raise

    return on_order_event

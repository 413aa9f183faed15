"""A live node with the engine's own Binance adapters, controlled by commands: `python -m tests.drivers.live_node`.

Standard input: first a `Setup` as one line of JSON, then commands, one a line; its end stops the node.
Standard output: events, one JSON object a line, unbuffered. Everything the engine prints goes to stderr.
"""

import json
import os
import queue
import random
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from nautilus_trader.adapters.binance import (
    BinanceDataClientConfig,
    BinanceDataClientFactory,
    BinanceEnvironment,
    BinanceExecutionClientConfig,
    BinanceExecutionClientFactory,
    BinanceProductType,
)
from nautilus_trader.common import Environment, LoggerConfig, LogLevel, SocketStateChanged, TimeEvent
from nautilus_trader.live import LiveExecutionEngineConfig, LiveNode, LiveRiskEngineConfig
from nautilus_trader.model import (
    AccountId,
    Bar,
    BarType,
    BookType,
    ClientOrderId,
    Currency,
    InstrumentId,
    InstrumentStatus,
    OmsType,
    OrderBook,
    OrderBookDeltas,
    OrderSide,
    Price,
    Quantity,
    QuoteTick,
    StrategyId,
    TimeInForce,
    TraderId,
    TradeTick,
    TriggerType,
    Venue,
)
from nautilus_trader.trading import Strategy, StrategyConfig

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
COMMAND_POLL_NS = 5_000_000
TRADE_SECONDS = 0.09
"""Between two orders of a node that trades by itself: within the venue's order limits of ten seconds and a minute."""
INFLIGHT_RETRIES = 16
"""Checks, one every half second, after which the engine itself decides the state of an order without an answer."""
MAX_OPEN_ORDERS = 12
KEPT = "KEPT"
"""Prefix of the ids of orders that random trading does not touch."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The venue's endpoints and the node's options."""

    rest_url: str
    ws_url: str
    ws_trading_url: str
    api_key: str
    api_secret: str
    use_ws_trading: bool = True
    all_data: bool = True
    """Report quotes, trades and changes of the book; else bars only, and the first quote as `ready`."""
    checks: bool = False
    """Run the engine's order checks often, and not only after 10 s."""
    bypass_risk: bool = False
    """Send orders to the venue that the engine itself would deny."""
    seed: int = 0
    connect_seconds: int = 20
    """The engine's timeout for the connect of its clients at the start."""
    poll_seconds: int | None = None
    """Interval of the instrument status poll; its changes are reported. None: not reported."""


class EventWriter:
    """Writes JSON lines to the original standard output; the engine's own output is redirected to stderr."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        os.dup2(2, 1)

    def __call__(self, kind: str, **fields: Any) -> None:
        line = json.dumps({"kind": kind, "at": time.time(), **fields}) + "\n"
        os.write(self._out, line.encode())


class CommandedStrategy(Strategy):
    """Reports every event and executes commands, or trades at random."""

    def __new__(cls, *_: Any) -> Self:
        config = StrategyConfig(strategy_id=StrategyId("S-001"), external_order_instrument_ids=[INSTRUMENT])
        return super().__new__(cls, config)  # type: ignore[call-arg]  # the engine's stub omits `__new__`

    def __init__(self, setup: Setup, write_event: EventWriter, commands: "queue.SimpleQueue[dict[str, Any]]") -> None:
        super().__init__()
        self._setup = setup
        self._write_event = write_event
        self._commands = commands
        self._generator = random.Random(setup.seed)
        self._quote: QuoteTick | None = None
        self._book = OrderBook(INSTRUMENT, BookType.L2_MBP)
        self._down: set[str] = set()
        """Disconnected sockets; it does not trade at random meanwhile."""
        self._trading = False
        self._next_order = 0.0

    def on_start(self) -> None:
        self._write_event("started", **self._state())
        self.subscribe_socket_state()
        if self._setup.all_data:
            self.subscribe_trades(INSTRUMENT)
            self.subscribe_book_deltas(INSTRUMENT, BookType.L2_MBP)
        self.subscribe_quotes(INSTRUMENT)
        self.subscribe_bars(BARS)
        if self._setup.poll_seconds is not None:
            self.subscribe_instrument_status(INSTRUMENT)
        self.clock.set_timer_ns("commands", COMMAND_POLL_NS, callback=self._run_commands)

    def on_stop(self) -> None:
        self._write_event("stopped", **self._state())

    # Events.

    def on_bar(self, bar: Bar) -> None:
        self._write_event(
            "bar",
            ts_event=bar.ts_event,
            ts_init=bar.ts_init,
            open=str(bar.open),
            high=str(bar.high),
            low=str(bar.low),
            close=str(bar.close),
            volume=str(bar.volume),
        )

    def on_quote(self, quote: QuoteTick) -> None:
        if self._quote is None:
            self._write_event("ready")
        self._quote = quote
        if self._setup.all_data:
            self._write_event(
                "quote",
                ts_event=quote.ts_event,
                ts_init=quote.ts_init,
                bid=str(quote.bid_price),
                ask=str(quote.ask_price),
                bid_size=str(quote.bid_size),
                ask_size=str(quote.ask_size),
            )

    def on_trade(self, trade: TradeTick) -> None:
        self._write_event(
            "trade",
            ts_event=trade.ts_event,
            ts_init=trade.ts_init,
            price=str(trade.price),
            size=str(trade.size),
            side=str(trade.aggressor_side),
            trade_id=str(trade.trade_id),
        )

    def on_book_deltas(self, deltas: OrderBookDeltas) -> None:
        self._book.apply_deltas(deltas)
        first = str(deltas.deltas[0].action).rpartition(".")[2]
        self._write_event(
            "deltas", count=len(deltas.deltas), first=first, ts_event=deltas.ts_event, ts_init=deltas.ts_init
        )

    def on_instrument_status(self, status: InstrumentStatus) -> None:
        self._write_event("status", action=str(status.action).rpartition(".")[2])

    def on_socket_state(self, event: SocketStateChanged) -> None:
        state = str(event.state).rpartition(".")[2]
        (self._down.discard if state == "CONNECTED" else self._down.add)(event.endpoint)
        self._write_event("socket", endpoint=event.endpoint, state=state)

    def on_order_event(self, event: Any) -> None:
        fields: dict[str, Any] = {"event": type(event).__name__, "client_order_id": str(event.client_order_id)}
        fields["ts_event"] = event.ts_event
        for name in ("venue_order_id", "reason", "price", "quantity", "trade_id", "last_qty", "last_px"):
            value = getattr(event, name, None)
            if value is not None:
                fields[name] = str(value)
        for name in ("due_post_only", "reconciliation"):
            value = getattr(event, name, None)
            if value is not None:
                fields[name] = value() if callable(value) else value
        if fields["event"] == "OrderFilled":
            fields["fee"] = f"{event.commission.as_decimal():f}" if event.commission else None
            fields["side"] = str(event.order_side)
            fields["liquidity"] = str(event.liquidity_side)
        self._write_event("order", **fields)

    # Commands.

    def _run_commands(self, _event: TimeEvent) -> None:
        while not self._commands.empty():
            command = self._commands.get()
            try:
                self._do(**command)
            except Exception as error:  # noqa: BLE001  (the test gets the error)
                self._write_event("failed", command=command, error=f"{type(error).__name__}: {error}")
        if self._trading and not self._down and self._quote and time.monotonic() > self._next_order:
            self._next_order = time.monotonic() + TRADE_SECONDS * self._generator.uniform(0.5, 1.5)
            self._trade()

    def _do(self, do: str, **params: Any) -> None:
        if do == "state":
            self._write_event("state", number=params["number"], **self._state())
        elif do == "book":
            sides = (self._book.bids_to_dict(params["depth"]), self._book.asks_to_dict(params["depth"]))
            bids, asks = ([[f"{price:f}", f"{size:f}"] for price, size in side.items()] for side in sides)
            self._write_event("book", number=params["number"], bids=bids, asks=asks)
        elif do == "place":
            self._place(**params)
        elif do == "cancel":
            self.cancel_order(ClientOrderId(params["id"]))
        elif do == "cancel_all":
            self.cancel_all_orders(INSTRUMENT)
        elif do == "modify":
            self.modify_order(
                ClientOrderId(params["id"]),
                quantity=Quantity.from_str(params["quantity"]) if "quantity" in params else None,
                price=Price.from_str(params["price"]) if "price" in params else None,
            )
        elif do == "close":
            self.close_all_positions(INSTRUMENT, reduce_only=True)
        elif do == "trade":
            self._trading = params["on"]
        else:
            raise ValueError(do)

    def _place(
        self,
        id: str,
        side: str,
        quantity: str,
        kind: str = "market",
        price: str | None = None,
        off: float | None = None,
        in_force: str = "GTC",
        post_only: bool = False,
        reduce_only: bool = False,
    ) -> None:
        """off: the price as a fraction of the best opposite one; a buy with > 1 and a sell with < 1 is marketable."""
        buy = side == "BUY"
        if off is not None:
            assert self._quote
            best = (self._quote.ask_price if buy else self._quote.bid_price).as_double()
            price = f"{best * off:.1f}"
        common: dict[str, Any] = {"reduce_only": reduce_only, "client_order_id": ClientOrderId(id)}
        terms = (INSTRUMENT, OrderSide.BUY if buy else OrderSide.SELL, Quantity.from_str(quantity))
        if kind == "market":
            order = self.order_factory.market(*terms, **common)
        elif kind == "limit":
            assert price is not None
            in_time = TimeInForce.from_str(in_force)
            at = Price.from_str(price)
            order = self.order_factory.limit(*terms, at, time_in_force=in_time, post_only=post_only, **common)
        else:
            assert price is not None
            at = Price.from_str(price)
            order = self.order_factory.stop_market(*terms, at, trigger_type=TriggerType.LAST_PRICE, **common)
        self.submit_order(order)

    def _trade(self) -> None:
        """One random step; most orders are near the market, so that many are filled."""
        generator = self._generator
        open_orders = [order for order in self.cache.orders_open() if not str(order.client_order_id).startswith(KEPT)]
        choice = generator.random()
        if len(open_orders) > MAX_OPEN_ORDERS or (open_orders and choice < 0.25):
            self.cancel_order(generator.choice(open_orders).client_order_id)
        elif open_orders and choice < 0.35:
            order = generator.choice(open_orders)
            step = generator.choice((-1, 1)) * generator.randint(1, 30)
            price = order.price.as_double() + step / 10
            self.modify_order(order.client_order_id, order.quantity, Price.from_str(f"{price:.1f}"))
        elif choice < 0.55:
            self._place(self._new_id(), generator.choice(("BUY", "SELL")), f"{generator.randint(3, 30) / 1000:.3f}")
        else:
            side = generator.choice(("BUY", "SELL"))
            distance = generator.choice((0.0, 0.0002, 0.001, 0.01))
            off = 1 - distance if side == "BUY" else 1 + distance
            self._place(self._new_id(), side, f"{generator.randint(3, 30) / 1000:.3f}", "limit", off=off)

    def _new_id(self) -> str:
        return str(self.order_factory.generate_client_order_id())

    def _state(self) -> dict[str, Any]:
        """The state in the engine's cache."""
        account = self.cache.account_for_venue(Venue("BINANCE"))
        usdt = Currency.from_str("USDT")
        orders = self.cache.orders()
        return {
            "open": {
                str(order.client_order_id): {
                    "venue_order_id": str(order.venue_order_id),
                    "side": "BUY" if order.side == OrderSide.BUY else "SELL",
                    "quantity": str(order.quantity),
                    "filled": str(order.filled_qty),
                    "price": str(getattr(order, "price", None)),
                    "status": str(order.status).rpartition(".")[2],
                    "strategy": str(order.strategy_id),
                }
                for order in self.cache.orders_open()
            },
            "in_flight": [str(order.client_order_id) for order in self.cache.orders_inflight()],
            "orders": len(orders),
            "closed": {
                str(order.client_order_id): str(order.status).rpartition(".")[2] for order in self.cache.orders_closed()
            },
            "positions": [
                {
                    "strategy": str(position.strategy_id),
                    "quantity": f"{'-' if position.is_short else ''}{position.quantity}",
                    "entry": position.avg_px_open,
                    "fees": [str(fee.as_decimal()) for fee in position.commissions()],
                }
                for position in self.cache.positions_open()
            ],
            "balance": str(account.balance_total(usdt).as_decimal()) if account else None,
            "free": str(account.balance_free(usdt).as_decimal()) if account else None,
        }


def node_of(setup: Setup) -> LiveNode:
    data = BinanceDataClientConfig(
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=setup.rest_url,
        base_url_ws=setup.ws_url,
        instrument_status_poll_secs=setup.poll_seconds,
    )
    trading = BinanceExecutionClientConfig(
        account_id=AccountId("BINANCE-001"),
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=setup.rest_url,
        base_url_ws=setup.ws_url,
        base_url_ws_trading=setup.ws_trading_url,
        use_ws_trading=setup.use_ws_trading,
        api_key=setup.api_key,
        api_secret=setup.api_secret,
        oms_type=OmsType.NETTING,
    )
    builder = (
        LiveNode.builder("CONTRACT", TraderId("LAB-001"), Environment.LIVE)
        .with_reconciliation(True)
        .with_logging(LoggerConfig(stdout_level=LogLevel.WARNING, is_colored=False))
        .with_delay_post_stop_secs(0)
        .with_timeout_connection(setup.connect_seconds)
        .with_timeout_disconnection_secs(3)
        .add_data_client(None, BinanceDataClientFactory(), data)
        .add_exec_client(None, BinanceExecutionClientFactory(), trading)
    )
    if setup.bypass_risk:
        builder = builder.with_risk_engine_config(LiveRiskEngineConfig(bypass=True))
    if setup.checks:
        builder = builder.with_exec_engine_config(
            LiveExecutionEngineConfig(
                reconciliation=True,
                reconciliation_startup_delay_secs=0.5,
                inflight_check_interval_ms=200,
                inflight_check_threshold_ms=500,
                open_check_interval_secs=0.5,
                open_check_threshold_ms=500,
                open_check_open_only=False,
                inflight_check_retries=INFLIGHT_RETRIES,
            )
        )
    return builder.build()


def main() -> None:
    setup = Setup(**json.loads(sys.stdin.readline()))
    write_event = EventWriter()
    commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    node = node_of(setup)
    node.add_strategy(CommandedStrategy(setup, write_event, commands))
    handle = node.handle()

    def listen() -> None:
        for line in sys.stdin:
            commands.put(json.loads(line))
        handle.stop()

    threading.Thread(target=listen, daemon=True).start()
    node.run()
    write_event("ended")


if __name__ == "__main__":
    main()

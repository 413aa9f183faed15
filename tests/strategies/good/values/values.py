from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from nautilus_trader.model import Bar, BarType, InstrumentId, OmsType, OrderSide, Quantity, TimeInForce
from nautilus_trader.trading import Strategy, StrategyConfig


class ParentConfig(StrategyConfig):
    def __init__(self, *, slow: int = 20, **base: object) -> None:
        self.slow = slow


class ValuesConfig(ParentConfig):
    def __init__(
        self,
        *,
        instrument_id: InstrumentId,
        bar_type: BarType,
        quantity: Quantity,
        ratio: float,
        share: Decimal,
        whole: Decimal,
        count: int,
        flag: bool,
        name: str,
        nothing: str | None,
        side: Literal["buy", "sell"],
        time_in_force: TimeInForce,
        limits: tuple[Decimal, ...],
        nested: dict[str, Sequence[int]],
        anything,  # type: ignore[no-untyped-def]
        **base: object,
    ) -> None:
        super().__init__(**base)
        given = {key: value for key, value in locals().items() if key not in ("self", "base", "__class__")}
        expected = {
            "instrument_id": InstrumentId.from_str("BTCUSDT-PERP.BINANCE"),
            "bar_type": BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"),
            "quantity": Quantity.from_str("0.010"),
            "ratio": 3.0,
            "share": Decimal("0.250"),
            "whole": Decimal(3),
            "count": 3,
            "flag": True,
            "name": "0.10",
            "nothing": None,
            "side": "buy",
            "time_in_force": TimeInForce.IOC,
            "limits": (Decimal("0.1"), Decimal(2)),
            "nested": {"a": [1, 2]},
            "anything": {"deep": [Decimal("1.50"), "text", None, True]},
        }
        assert given == expected, given
        assert [type(given[key]) for key in expected] == [type(value) for value in expected.values()]
        assert (str(share), str(anything["deep"][0]), self.slow) == ("0.250", "1.50", 7)
        self.bar_type, self.quantity, self.instrument_id = bar_type, quantity, instrument_id


class Values(Strategy):
    def __init__(self, config: ValuesConfig) -> None:
        super().__init__(config)
        self.watch = self.instrument = self.handlers = None  # names that are a strategy's own to use

    def on_start(self) -> None:
        assert str(self.strategy_id) == "MINE-007"
        assert self.config.oms_type == OmsType.NETTING
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        if self.cache.orders_total_count() < 2:
            order = self.order_factory.market(self.config.instrument_id, OrderSide.BUY, self.config.quantity)
            self.submit_order(order)

    def on_order_event(self, event: object) -> None:
        """Without `super()`."""

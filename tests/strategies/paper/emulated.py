"""Emulated orders: one is released, one is changed and canceled, one is left. And a stop at the venue."""

from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Price, Quantity, TriggerType
from nautilus_trader.trading import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
SIZE = Quantity.from_str("0.010")
TWICE = Quantity.from_str("0.020")
FAR_BELOW = Price.from_str("30000.00")
FURTHER_BELOW = Price.from_str("29000.00")
FAR_ABOVE = Price.from_str("60000.00")


class Emulated(Strategy):
    seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        orders = self.order_factory
        if self.seen == 2:
            self.submit_order(orders.market(INSTRUMENT, OrderSide.BUY, SIZE))
            for trigger in (FAR_ABOVE, FAR_BELOW, FAR_BELOW):  # the first one is triggered by the next trade
                order = orders.stop_market(
                    INSTRUMENT, OrderSide.SELL, SIZE, trigger, emulation_trigger=TriggerType.LAST_PRICE
                )
                self.submit_order(order)
            self.changed = order.client_order_id
            self.submit_order(orders.stop_market(INSTRUMENT, OrderSide.SELL, SIZE, FAR_BELOW, reduce_only=True))
        elif self.seen == 3:
            self.modify_order(self.changed, quantity=TWICE, trigger_price=FURTHER_BELOW)
        elif self.seen == 4:
            self.cancel_order(self.changed)

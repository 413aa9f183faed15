"""The symbol's filters: checks of price and quantity before any other check of an order."""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Self

from opslab.model.market.instrument import Instrument
from opslab.model.messages.ledger_events import OrderSide, OrderType
from opslab.venue.api_error import ApiError

TRADING = "TRADING"


@dataclass(frozen=True, slots=True)
class LotSize:
    min_quantity: Decimal
    max_quantity: Decimal
    step: Decimal


@dataclass(frozen=True, slots=True)
class Filters:
    """Read from the exchangeInfo entry of the symbol."""

    price_decimals: int
    size_decimals: int
    min_price: Decimal
    max_price: Decimal
    tick: Decimal
    lot: dict[OrderType, LotSize]
    max_orders: int
    min_notional: Decimal
    multiplier_up: Decimal
    """Maximum buy price as a multiple of the mark price."""
    multiplier_down: Decimal
    """Minimum sell price as a multiple of the mark price."""
    market_bound: Decimal
    """Maximum distance of a market order from the mark price, as a fraction of the mark price."""
    max_amendments: int

    @classmethod
    def of(cls, instrument: Instrument) -> Self:
        entry = instrument.entry
        filters = {row["filterType"]: row for row in entry["filters"]}
        percent = filters["PERCENT_PRICE"]
        return cls(
            price_decimals=int(entry["pricePrecision"]),
            size_decimals=int(entry["quantityPrecision"]),
            min_price=instrument.min_price,
            max_price=instrument.max_price,
            tick=instrument.tick,
            lot={"LIMIT": _lot_size(filters["LOT_SIZE"]), "MARKET": _lot_size(filters["MARKET_LOT_SIZE"])},
            max_orders=int(filters["MAX_NUM_ORDERS"]["limit"]),
            min_notional=Decimal(filters["MIN_NOTIONAL"]["notional"]),
            multiplier_up=Decimal(percent["multiplierUp"]),
            multiplier_down=Decimal(percent["multiplierDown"]),
            market_bound=Decimal(entry["marketTakeBound"]),
            max_amendments=int(entry["maxMoveOrderLimit"]),
        )

    def check_price(self, price: Decimal) -> None:
        if price <= 0:
            raise ApiError.of(-4001)
        if price > self.max_price:
            raise ApiError.of(-4002)
        if price < self.min_price:
            raise ApiError.of(-4013)
        if _too_precise(price, self.price_decimals):
            raise ApiError.of(-1111)
        if price % self.tick:
            raise ApiError.of(-4014)

    def check_quantity(self, quantity: Decimal, kind: OrderType) -> None:
        lot = self.lot[kind]
        if quantity <= 0:
            raise ApiError.of(-4003)
        if quantity > lot.max_quantity:
            raise ApiError.of(-4005)
        if _too_precise(quantity, self.size_decimals):
            raise ApiError.of(-1111)
        if quantity < lot.min_quantity:
            raise ApiError.of(-4004)
        if quantity % lot.step:
            raise ApiError.of(-4023)

    def check_percent(self, side: OrderSide, price: Decimal, mark: Decimal) -> None:
        """Check a limit price against the mark price: too high to buy, too low to sell."""
        if side == "BUY":
            cap = self._on_grid(mark * self.multiplier_up, ROUND_DOWN)
            if price > cap:
                raise ApiError.of(-4016, f"{cap:f}")
        else:
            floor = self._on_grid(mark * self.multiplier_down, ROUND_UP)
            if price < floor:
                raise ApiError.of(-4024, f"{floor:f}")

    def check_counterparty(self, side: OrderSide, best: Decimal, mark: Decimal) -> None:
        """Check the best price that a market order would trade at."""
        if best > mark * self.multiplier_up if side == "BUY" else best < mark * self.multiplier_down:
            raise ApiError.of(-4131)

    def market_limit(self, side: OrderSide, mark: Decimal) -> Decimal:
        """The worst price at which a market order may trade."""
        return mark * (1 + self.market_bound) if side == "BUY" else mark * (1 - self.market_bound)

    def check_notional(self, notional: Decimal, code: int = -4164) -> None:
        """code: error code; amendments have a different one."""
        if notional < self.min_notional:
            raise ApiError.of(code, f"{self.min_notional:f}")

    def check_order_count(self, open_orders: int) -> None:
        if open_orders >= self.max_orders:
            raise ApiError.of(-2025)

    def _on_grid(self, price: Decimal, rounding: str) -> Decimal:
        return price.quantize(Decimal(1).scaleb(-self.price_decimals), rounding)


def check_status(status: str, code: int = -4108) -> None:
    """code: error code; amendments have a different one."""
    if status != TRADING:
        raise ApiError.of(code)


def _lot_size(row: dict[str, str]) -> LotSize:
    return LotSize(Decimal(row["minQty"]), Decimal(row["maxQty"]), Decimal(row["stepSize"]))


def _too_precise(value: Decimal, decimals: int) -> bool:
    """Trailing zeros do not count."""
    return value != value.quantize(Decimal(1).scaleb(-decimals), ROUND_DOWN)

"""The instrument, from the venue's exchangeInfo."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

VENUE = "BINANCE"
BAR_STEP = "1-MINUTE-LAST-EXTERNAL"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A USD-M perpetual, by its exchangeInfo entry."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    price_decimals: int
    """Decimals of the tick in the venue's notation: `0.10` has two."""
    size_decimals: int
    min_price: Decimal
    max_price: Decimal
    entry: dict[str, Any]

    @property
    def instrument_id(self) -> str:
        return f"{self.symbol}-PERP.{VENUE}"

    @property
    def tick_decimals(self) -> int:
        """Decimals of a price on the tick, which is a power of ten: one for `0.10`."""
        return -int(self.tick.normalize().as_tuple().exponent)

    @property
    def bar_type(self) -> str:
        return f"{self.instrument_id}-{BAR_STEP}"


def instrument_of(entry: dict[str, Any]) -> Instrument:
    """Read one `symbols` entry of `GET /fapi/v1/exchangeInfo`."""
    filters = {rule["filterType"]: rule for rule in entry["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    return Instrument(
        symbol=entry["symbol"],
        base=entry["baseAsset"],
        quote=entry["quoteAsset"],
        tick=Decimal(price["tickSize"]),
        step=Decimal(lot["stepSize"]),
        price_decimals=_decimals(price["tickSize"]),
        size_decimals=_decimals(lot["stepSize"]),
        min_price=Decimal(price["minPrice"]),
        max_price=Decimal(price["maxPrice"]),
        entry=entry,
    )


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])

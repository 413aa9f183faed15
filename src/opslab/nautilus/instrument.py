"""Build the engine's instrument from an exchangeInfo entry, equal to the one of NautilusTrader's Binance adapter."""

from decimal import Decimal
from typing import Any

from nautilus_trader.model import CryptoPerpetual, Currency, InstrumentId, Money, Price, Quantity, Symbol

from opslab.model.market.instrument import instrument_of

ADAPTER_MARGIN = Decimal("0.1")
"""Initial and maintenance margin of every perpetual in the adapter, independent of the venue's (measured, rc7)."""


def perpetual(entry: dict[str, Any]) -> CryptoPerpetual:
    """Equal, field by field, to the live adapter's instrument of the same `entry`; a contract test compares them."""
    instrument = instrument_of(entry)
    filters = {rule["filterType"]: rule for rule in entry["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    quote = Currency.from_str(instrument.quote)
    return CryptoPerpetual(
        instrument_id=InstrumentId.from_str(instrument.instrument_id),
        raw_symbol=Symbol(instrument.symbol),
        base_currency=Currency.from_str(instrument.base),
        quote_currency=quote,
        settlement_currency=Currency.from_str(entry["marginAsset"]),
        is_inverse=False,
        price_precision=instrument.price_decimals,
        size_precision=instrument.size_decimals,
        price_increment=Price.from_str(price["tickSize"]),
        size_increment=Quantity.from_str(lot["stepSize"]),
        ts_event=0,
        ts_init=0,
        lot_size=Quantity.from_str(lot["stepSize"]),
        max_quantity=Quantity.from_str(lot["maxQty"]),
        min_quantity=Quantity.from_str(lot["minQty"]),
        min_notional=Money.from_str(f"{filters['MIN_NOTIONAL']['notional']} {instrument.quote}"),
        max_price=Price.from_str(price["maxPrice"]),
        min_price=Price.from_str(price["minPrice"]),
        margin_init=ADAPTER_MARGIN,
        margin_maint=ADAPTER_MARGIN,
    )

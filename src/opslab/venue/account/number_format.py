"""Format numbers as the venue does: text with the decimals of the instrument."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from opslab.model.market.instrument import Instrument


def money_text(amount: Decimal) -> str:
    """Format an amount with eight decimals."""
    return f"{amount:.8f}"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Formats the numbers of one instrument."""

    symbol: str
    price_decimals: int
    size_decimals: int

    @classmethod
    def of(cls, instrument: Instrument) -> Self:
        return cls(instrument.symbol, instrument.price_decimals, instrument.size_decimals)

    def price(self, price: Decimal) -> str:
        return f"{price:.{self.price_decimals}f}"

    def size(self, size: Decimal) -> str:
        return f"{size:.{self.size_decimals}f}"

    def precise(self, amount: Decimal) -> str:
        """Format price times size, or an average price, with the decimals of price and size together."""
        return f"{amount:.{self.price_decimals + self.size_decimals}f}"

"""How the venue writes numbers: as text, with as many decimals as the instrument has."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from opslab.model.market.instrument import Instrument


def money_text(amount: Decimal) -> str:
    """Eight decimals."""
    return f"{amount:.8f}"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Writes one instrument's numbers."""

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

    def fine(self, amount: Decimal) -> str:
        """A price times a size, and averages: the decimals of both."""
        return f"{amount:.{self.price_decimals + self.size_decimals}f}"

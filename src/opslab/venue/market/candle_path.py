"""One candle as a minute of trades and quotes.

The path visits open, low, high, close, or open, high, low, close when the minute fell, and wanders between them as
a random bridge. What is drawn depends on the candle and the seed alone. Aggregated, the trades give the candle back
exactly: open, high, low, close, and the volume to the last unit.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from math import isqrt
from random import Random
from typing import NamedTuple

from opslab.model.market.candle import MINUTE_MS, Candle

MIN_TICKS = 4
MAX_TICKS = MINUTE_MS
"""One tick a millisecond: offsets rise strictly."""

# What a random byte is worth as a share of the volume: mostly small trades, a few large ones.
_WEIGHTS = tuple(1 + byte**4 // 2**18 for byte in range(256))
# Standard deviation of the bridge's middle is a tenth of the candle's range: sd of a byte 74, of a bridge 74*sqrt(m)/2.
_CALM = 370


class Tick(NamedTuple):
    """One trade and the quote it leaves; size 0: a quote alone. Units as in `Candle`."""

    offset_ms: int
    """Since the minute's open."""
    price: int
    size: int
    buyer: bool
    """The taker bought: the trade is at the ask, otherwise at the bid."""
    bid: int
    ask: int


def corners(candle: Candle) -> list[int]:
    """The prices that the path has to visit, in order: one to four, neighbours differ."""
    first, second = (candle.low, candle.high) if candle.close >= candle.open else (candle.high, candle.low)
    path = [candle.open]
    for price in (first, second, candle.close):
        if price != path[-1]:
            path.append(price)
    return path


def reproducible(candle: Candle) -> bool:
    """Whether trades alone can make this candle: a smallest trade for each price that it has to visit.

    A flat candle without volume is one too: nobody traded.
    """
    needed = corners(candle)
    return candle.volume >= len(needed) or (candle.volume == 0 and len(needed) == 1)


def quotes(price: int, tick: int, buyer: bool) -> tuple[int, int]:
    """(bid, ask) around a trade: the side that it touched is its price, the other the next on the grid beyond."""
    if buyer:
        return (price - 1) // tick * tick, price
    return price, price // tick * tick + tick


def draw(candle: Candle, tick: int, ticks: int, seed: int = 0) -> tuple[Tick, ...]:
    """Draw the minute as exactly `ticks` ticks, offsets rising within the minute.

    tick: the price grid in price units; prices between open, high, low and close are on it where the candle's range
    has a place for one. A volume of fewer units than ticks makes some of them quotes alone, those where the path
    turns last of all; a candle that is not `reproducible` shows some of its prices as quotes only.
    Raises: ValueError for ticks outside MIN_TICKS..MAX_TICKS.
    """
    if not MIN_TICKS <= ticks <= MAX_TICKS:
        raise ValueError(f"ticks: {ticks} is outside {MIN_TICKS}..{MAX_TICKS}")
    random = Random(seed ^ candle.open_ms)
    needed = corners(candle)
    places = _places(random, len(needed), ticks)
    noise = random.randbytes(3 * ticks)
    prices = _prices(candle, tick, needed, places, ticks, noise[:ticks])
    sizes = _sizes(random, candle.volume, places, ticks, noise[ticks : 2 * ticks])
    return _ticks(tick, prices, sizes, noise[2 * ticks :])


def _places(random: Random, count: int, ticks: int) -> list[int]:
    """Where among the ticks the corners stand, rising: the first one first, the last one last."""
    inner = sorted(random.sample(range(1, ticks - 1), count - 2)) if count > 2 else []
    return [0, *inner, ticks - 1] if count > 1 else [0]


def _prices(
    candle: Candle, tick: int, needed: Sequence[int], places: Sequence[int], ticks: int, noise: bytes
) -> list[int]:
    bottom, top = -(-candle.low // tick), candle.high // tick
    if bottom > top or len(needed) == 1:  # flat, or no place on the grid between low and high: from corner to corner
        bounds = [*places[1:], ticks]
        return [p for p, i, j in zip(needed, places, bounds, strict=True) for _ in range(j - i)]
    span = candle.high - candle.low
    prices: list[int] = []
    for k in range(len(places) - 1):
        start, steps = needed[k], places[k + 1] - places[k]
        rise = needed[k + 1] - start
        walk = list(accumulate(noise[places[k] : places[k + 1]]))
        total, calm, unit = walk[-1], _CALM * isqrt(steps), steps * tick
        whole = start * steps
        prices.append(start)
        prices += [
            tick * (level if bottom <= level <= top else bottom if level < bottom else top)
            for j in range(1, steps)
            for level in ((whole + rise * j + (walk[j - 1] * steps - total * j) * span // calm) // unit,)
        ]
    prices.append(needed[-1])
    return prices


def _sizes(random: Random, volume: int, places: Sequence[int], ticks: int, noise: bytes) -> list[int]:
    """A size for each tick, `volume` in all; 0 for ticks that there is no volume for."""
    spare = volume - ticks
    if spare < 0:
        sizes = [0] * ticks
        for place in _traded(random, volume, places, ticks):
            sizes[place] = 1
        return sizes
    weights = [_WEIGHTS[byte] for byte in noise]
    total = sum(weights)
    sizes = [1 + weight * spare // total for weight in weights]
    sizes[weights.index(max(weights))] += volume - sum(sizes)
    return sizes


def _traded(random: Random, volume: int, places: Sequence[int], ticks: int) -> list[int]:
    """The ticks that trade when there are fewer units than ticks: close and open first, then high and low."""
    dear = [*places[-1:], *places[:-1]]
    others = sorted(set(range(ticks)).difference(places))
    return [*dear[:volume], *random.sample(others, max(0, volume - len(dear)))]


def _ticks(tick: int, prices: Sequence[int], sizes: Sequence[int], noise: bytes) -> tuple[Tick, ...]:
    rows = []
    before = prices[0]
    for (offset, slot), price, size, byte in zip(_slots(len(prices)), prices, sizes, noise, strict=True):
        # A rise is bought, a fall sold, the same again is a coin's side. A bid has to be a price: above zero.
        buyer = (price > before or (price == before and byte & 1 == 1)) and price > tick
        bid, ask = ((price - 1) // tick * tick, price) if buyer else (price, price // tick * tick + tick)
        rows.append((offset + (slot * byte >> 8), price, size, buyer, bid, ask))
        before = price
    return tuple(map(_tick, rows))


_tick = partial(tuple.__new__, Tick)


@lru_cache(maxsize=8)
def _slots(ticks: int) -> tuple[tuple[int, int], ...]:
    """(start, width) in ms of each tick's part of the minute."""
    starts = [k * MINUTE_MS // ticks for k in range(ticks + 1)]
    return tuple((start, after - start) for start, after in pairwise(starts))

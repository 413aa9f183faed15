"""Simulate one minute of trades and quotes from its candle.

The path visits open, low, high, close (open, high, low, close when the minute fell) and is a random bridge between
them. The ticks depend on the candle and the seed only. The trades, aggregated, reproduce the candle exactly: open,
high, low, close, and the volume to the last unit.
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
"""One tick per millisecond: offsets increase strictly."""

# Weight of a random byte as a share of the volume: mostly small trades, a few large ones.
_WEIGHTS = tuple(1 + byte**4 // 2**18 for byte in range(256))
# The standard deviation in the middle of the bridge is a tenth of the candle's range: sd of a byte 74, of a bridge
# 74*sqrt(m)/2.
_NOISE_DIVISOR = 370


class Tick(NamedTuple):
    """One trade and the quote after it; size 0: a quote without a trade. Units as in `Candle`."""

    offset_ms: int
    """Since the open of the minute."""
    price: int
    size: int
    buyer: bool
    """True: the taker bought, at the ask. False: the taker sold, at the bid."""
    bid: int
    ask: int


def corners(candle: Candle) -> list[int]:
    """The prices that the path must visit, in order: one to four, neighbours differ."""
    first, second = (candle.low, candle.high) if candle.close >= candle.open else (candle.high, candle.low)
    path = [candle.open]
    for price in (first, second, candle.close):
        if price != path[-1]:
            path.append(price)
    return path


def quotes(price: int, tick: int, buyer: bool) -> tuple[int, int]:
    """(bid, ask) after a trade: the side it traded at has its price, the other side the next price on the grid."""
    if buyer:
        return (price - 1) // tick * tick, price
    return price, price // tick * tick + tick


def simulate_ticks(candle: Candle, tick: int, ticks: int, seed: int = 0) -> tuple[Tick, ...]:
    """Simulate the minute as exactly `ticks` ticks with increasing offsets.

    tick: the price grid in price units. Prices between open, high, low and close are on the grid, where the range of
    the candle contains a grid price. If the volume has fewer units than ticks, some ticks are quotes without a trade;
    the corners of the path keep their trades longest. With fewer units of volume than corners, some prices of the
    candle are shown as quotes only.
    Raises: ValueError for ticks outside MIN_TICKS..MAX_TICKS.
    """
    if not MIN_TICKS <= ticks <= MAX_TICKS:
        raise ValueError(f"ticks: {ticks} is outside {MIN_TICKS}..{MAX_TICKS}")
    random = Random(seed ^ candle.open_ms)
    visited = corners(candle)
    indexes = _corner_indexes(random, len(visited), ticks)
    noise = random.randbytes(3 * ticks)
    prices = _prices(candle, tick, visited, indexes, ticks, noise[:ticks])
    sizes = _sizes(random, candle.volume, indexes, ticks, noise[ticks : 2 * ticks])
    return _ticks(tick, prices, sizes, noise[2 * ticks :])


def _corner_indexes(random: Random, count: int, ticks: int) -> list[int]:
    """Index of each corner among the ticks, increasing: the first corner is the first tick, the last the last."""
    inner = sorted(random.sample(range(1, ticks - 1), count - 2)) if count > 2 else []
    return [0, *inner, ticks - 1] if count > 1 else [0]


def _prices(
    candle: Candle, tick: int, visited: Sequence[int], indexes: Sequence[int], ticks: int, noise: bytes
) -> list[int]:
    bottom, top = -(-candle.low // tick), candle.high // tick
    if bottom > top or len(visited) == 1:  # flat, or no grid price between low and high: repeat the corner prices
        bounds = [*indexes[1:], ticks]
        return [p for p, i, j in zip(visited, indexes, bounds, strict=True) for _ in range(j - i)]
    span = candle.high - candle.low
    prices: list[int] = []
    for k in range(len(indexes) - 1):
        start, steps = visited[k], indexes[k + 1] - indexes[k]
        rise = visited[k + 1] - start
        walk = list(accumulate(noise[indexes[k] : indexes[k + 1]]))
        total, divisor, unit = walk[-1], _NOISE_DIVISOR * isqrt(steps), steps * tick
        whole = start * steps
        prices.append(start)
        prices += [
            tick * (level if bottom <= level <= top else bottom if level < bottom else top)
            for j in range(1, steps)
            for level in ((whole + rise * j + (walk[j - 1] * steps - total * j) * span // divisor) // unit,)
        ]
    prices.append(visited[-1])
    return prices


def _sizes(random: Random, volume: int, indexes: Sequence[int], ticks: int, noise: bytes) -> list[int]:
    """A size for each tick, `volume` in total; 0 for the ticks that get no volume."""
    spare = volume - ticks
    if spare < 0:
        sizes = [0] * ticks
        for index in _traded(random, volume, indexes, ticks):
            sizes[index] = 1
        return sizes
    weights = [_WEIGHTS[byte] for byte in noise]
    total = sum(weights)
    sizes = [1 + weight * spare // total for weight in weights]
    sizes[weights.index(max(weights))] += volume - sum(sizes)
    return sizes


def _traded(random: Random, volume: int, indexes: Sequence[int], ticks: int) -> list[int]:
    """Indexes of the ticks that trade if there are fewer units than ticks: close and open first, then high and low."""
    preferred = [*indexes[-1:], *indexes[:-1]]
    others = sorted(set(range(ticks)).difference(indexes))
    return [*preferred[:volume], *random.sample(others, max(0, volume - len(preferred)))]


def _ticks(tick: int, prices: Sequence[int], sizes: Sequence[int], noise: bytes) -> tuple[Tick, ...]:
    rows = []
    previous = prices[0]
    for (offset, slot), price, size, byte in zip(_slots(len(prices)), prices, sizes, noise, strict=True):
        # A higher price is a buy, a lower one a sell, an unchanged one is random. The bid must stay above zero.
        buyer = (price > previous or (price == previous and byte & 1 == 1)) and price > tick
        bid, ask = ((price - 1) // tick * tick, price) if buyer else (price, price // tick * tick + tick)
        rows.append((offset + (slot * byte >> 8), price, size, buyer, bid, ask))
        previous = price
    return tuple(map(_tick, rows))


_tick = partial(tuple.__new__, Tick)


@lru_cache(maxsize=8)
def _slots(ticks: int) -> tuple[tuple[int, int], ...]:
    """(start, width) in ms of the slot of each tick in the minute."""
    starts = [k * MINUTE_MS // ticks for k in range(ticks + 1)]
    return tuple((start, end - start) for start, end in pairwise(starts))

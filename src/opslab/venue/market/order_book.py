"""The order book: synthetic levels around the best quote, and the diff streams that clients follow.

The size of a level depends on its price and the seed only. Consumed liquidity is missing until the next quote, which
restores it. Further levels appear after the consumed ones: a side shows `MAX_LEVELS` levels as long as prices are
above zero. Prices and sizes are whole units of the instrument's decimals.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import batched, islice
from random import Random
from typing import Literal, NamedTuple

BookSide = Literal["bids", "asks"]
Levels = dict[int, int]
"""Price to size, best first."""

MAX_LEVELS = 200
"""Levels shown on each side."""

_SIZE_COUNT = 1024
"""Number of different level sizes."""


class Depth(NamedTuple):
    """Book data for clients: a snapshot (`previous_id` is unused), or the changes after `previous_id`."""

    first_id: int
    last_id: int
    previous_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class OrderBook:
    def __init__(self, tick: int, seed: int = 0, first_update_id: int = 1) -> None:
        """tick: the price grid in price units. The book is empty until the first quote.

        first_update_id: ids increase from here; pass a higher one at a later start of the same venue.
        """
        self.tick = tick
        self.update_id = first_update_id
        self._bid = 0
        self._ask = 0
        self._sizes = _size_table(seed)
        self._consumed: dict[BookSide, Levels] = {"bids": {}, "asks": {}}
        self._has_consumed = False
        """Whether liquidity was consumed since the last quote."""
        self._displayed: tuple[Levels, Levels] | None = ({}, {})
        self._diff_streams: dict[str, DiffStream] = {}

    def set_quote(self, bid: int, ask: int) -> None:
        """Set a new quote and restore all liquidity. Raises ValueError if it is crossed or not above zero."""
        if not 0 < bid < ask:
            raise ValueError(f"invalid quote: {bid} / {ask}")
        self.update_id += 1
        if self._has_consumed:
            self._consumed = {"bids": {}, "asks": {}}
            self._has_consumed = False
        elif bid == self._bid and ask == self._ask:
            return
        self._bid, self._ask = bid, ask
        self._displayed = None

    def restore(self) -> None:
        """Restore all liquidity at the current quote, as the next quote would."""
        self.set_quote(self._bid, self._ask)

    def best(self) -> tuple[int, int, int, int]:
        """(bid, bid size, ask, ask size): the best level of each side of `levels`; (0, 0) for an empty side."""
        if self._has_consumed or not self._bid:
            bids, asks = self._sides()
            return *next(iter(bids.items()), (0, 0)), *next(iter(asks.items()), (0, 0))
        bid, ask, sizes = self._bid, self._ask, self._sizes
        return bid, sizes[_size_index(bid)], ask, sizes[_size_index(ask)]

    def levels(self, side: BookSide, limit: int = MAX_LEVELS) -> list[tuple[int, int]]:
        """(price, size) of the displayed levels, best first, without the consumed liquidity."""
        return list(islice(self._sides()[side == "asks"].items(), limit))

    def consume(self, side: BookSide, price: int, size: int) -> None:
        """Consume liquidity of a displayed level. Raises ValueError for more than the level has."""
        bids, asks = self._sides()
        levels = bids if side == "bids" else asks
        available = levels.get(price, 0)
        if not 0 < size <= available:
            raise ValueError(f"{side} at {price} have {available}, not {size}")
        consumed = self._consumed[side]
        consumed[price] = consumed.get(price, 0) + size
        remaining = {**levels, price: available - size} if size < available else self._side(side)
        self._displayed = (remaining, asks) if side == "bids" else (bids, remaining)
        self._has_consumed = True
        self.update_id += 1

    def snapshot(self, limit: int = MAX_LEVELS) -> Depth:
        """A snapshot for one client. The next diff of every stream spans its id: U <= lastUpdateId <= u."""
        for stream in self._diff_streams.values():
            stream.record_changes()
        self.update_id += 1
        return Depth(self.update_id, self.update_id, 0, self.levels("bids", limit), self.levels("asks", limit))

    def diff_stream(self, name: str) -> "DiffStream":
        """The diff stream `name`: created at the first call, then the same object until dropped."""
        if name not in self._diff_streams:
            self._diff_streams[name] = DiffStream(self)
        return self._diff_streams[name]

    def drop_diff_stream(self, name: str) -> None:
        """Drop a stream without subscribers: a stream that is not sent keeps collecting the changes of snapshots."""
        self._diff_streams.pop(name, None)

    def _sides(self) -> tuple[Levels, Levels]:
        """The displayed levels (bids, asks). The mappings are never mutated: a change creates a new one."""
        if self._displayed is None:
            self._displayed = (self._side("bids"), self._side("asks"))
        return self._displayed

    def _side(self, side: BookSide) -> Levels:
        consumed, sizes = self._consumed[side], self._sizes
        prices = self._bids() if side == "bids" else self._asks()
        if not consumed:
            return {price: sizes[_size_index(price)] for price in islice(prices, MAX_LEVELS)}
        remaining = ((price, sizes[_size_index(price)] - consumed.get(price, 0)) for price in prices)
        return dict(islice(((price, size) for price, size in remaining if size), MAX_LEVELS))

    def _bids(self) -> Iterator[int]:
        yield self._bid
        yield from range((self._bid - 1) // self.tick * self.tick, 0, -self.tick)

    def _asks(self) -> Iterator[int]:
        yield self._ask
        price = self._ask // self.tick * self.tick
        while True:
            price += self.tick
            yield price


class DiffStream:
    """Changes of a book since the last message of one stream; each message names the id of the one before."""

    def __init__(self, book: OrderBook) -> None:
        self._book = book
        self._last_id = book.update_id
        self._last_sides = book._sides()
        self._changed: tuple[set[int], set[int]] = (set(), set())
        """Prices whose size may differ in a snapshot that a client requested since the last message."""

    def record_changes(self) -> None:
        """Record the levels changed so far: a snapshot shows them, and they may change back before the next message."""
        current = self._book._sides()
        for changed, before, after in zip(self._changed, self._last_sides, current, strict=True):
            if before is not after:
                changed.update(price for price, _ in before.items() ^ after.items())
        self._last_sides = current

    def next_diff(self) -> Depth | None:
        """Changes since the last message: absolute sizes, 0 for a removed level; None if the book did not change.

        A diff with empty sides is a message too: the ids have increased.
        """
        book = self._book
        if book.update_id == self._last_id:
            return None
        self.record_changes()
        (bids, asks), (bid_prices, ask_prices) = self._last_sides, self._changed
        depth = Depth(
            self._last_id + 1,
            book.update_id,
            self._last_id,
            [(price, bids.get(price, 0)) for price in sorted(bid_prices, reverse=True)],
            [(price, asks.get(price, 0)) for price in sorted(ask_prices)],
        )
        self._last_id = book.update_id
        self._changed = (set(), set())
        return depth

    def next_top(self, limit: int) -> Depth | None:
        """Partial depth instead of `next_diff`: the `limit` best levels; None if the book did not change."""
        book = self._book
        if book.update_id == self._last_id:
            return None
        previous, self._last_id = self._last_id, book.update_id
        self._last_sides = book._sides()
        self._changed = (set(), set())
        return Depth(previous + 1, book.update_id, previous, book.levels("bids", limit), book.levels("asks", limit))


def _size_index(price: int) -> int:
    """Index of the size of a price: neighbours differ."""
    return (price * 2_654_435_761 >> 7) % _SIZE_COUNT


@lru_cache(maxsize=4)
def _size_table(seed: int) -> tuple[int, ...]:
    """Mostly small sizes, some large ones, all above zero: two thousand units on average."""
    noise = Random(seed).randbytes(3 * _SIZE_COUNT)
    return tuple(1 + (a * b * c >> 10) for a, b, c in batched(noise, 3, strict=True))

"""The venue's depth: synthetic levels around the best quote, and the chains of changes that clients follow.

A level's size depends on its price and the seed alone. What an order took is gone until the quote moves next; then
liquidity is back. Behind what was taken further levels appear: a side shows `DEPTH` levels as long as prices are
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

DEPTH = 200
"""Levels shown on each side."""

_KINDS = 1024
"""How many different sizes there are."""


class Depth(NamedTuple):
    """The book as a client is told it: whole (`previous_id` of no use), or what changed after `previous_id`."""

    first_id: int
    last_id: int
    previous_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Book:
    def __init__(self, tick: int, seed: int = 0, first_update_id: int = 1) -> None:
        """tick: the price grid in price units. The book is empty until it first moves.

        first_update_id: ids rise from here; give a later start of the same venue a higher one.
        """
        self.tick = tick
        self.update_id = first_update_id
        self._bid = 0
        self._ask = 0
        self._sizes = _size_table(seed)
        self._taken: dict[BookSide, Levels] = {"bids": {}, "asks": {}}
        self._touched = False
        """Something was taken since the quote last moved."""
        self._shown: tuple[Levels, Levels] | None = ({}, {})
        self._chains: dict[str, Chain] = {}

    def move(self, bid: int, ask: int) -> None:
        """Stand around a new quote, with all liquidity back. Raises ValueError if it is crossed or not above zero."""
        if not 0 < bid < ask:
            raise ValueError(f"no quote: {bid} / {ask}")
        self.update_id += 1
        if self._touched:
            self._taken = {"bids": {}, "asks": {}}
            self._touched = False
        elif bid == self._bid and ask == self._ask:
            return
        self._bid, self._ask = bid, ask
        self._shown = None

    def restore(self) -> None:
        """Stand where it stands, with all liquidity back, as the next quote would bring it."""
        self.move(self._bid, self._ask)

    def best(self) -> tuple[int, int, int, int]:
        """(bid, bid size, ask, ask size): the best level of each side of `levels`; (0, 0) for one with none left."""
        if self._touched or not self._bid:
            bids, asks = self._sides()
            return *next(iter(bids.items()), (0, 0)), *next(iter(asks.items()), (0, 0))
        bid, ask, sizes = self._bid, self._ask, self._sizes
        return bid, sizes[_kind(bid)], ask, sizes[_kind(ask)]

    def levels(self, side: BookSide, limit: int = DEPTH) -> list[tuple[int, int]]:
        """(price, size) of the resting levels, best first, less what was taken."""
        return list(islice(self._sides()[side == "asks"].items(), limit))

    def take(self, side: BookSide, price: int, size: int) -> None:
        """Take from a level that is shown. Raises ValueError for more than it has left."""
        bids, asks = self._sides()
        levels = bids if side == "bids" else asks
        left = levels.get(price, 0)
        if not 0 < size <= left:
            raise ValueError(f"{side} at {price} have {left}, not {size}")
        taken = self._taken[side]
        taken[price] = taken.get(price, 0) + size
        after = {**levels, price: left - size} if size < left else self._side(side)
        self._shown = (after, asks) if side == "bids" else (bids, after)
        self._touched = True
        self.update_id += 1

    def snapshot(self, limit: int = DEPTH) -> Depth:
        """The book for one who asked. The next push of every chain spans its id: U <= lastUpdateId <= u."""
        for chain in self._chains.values():
            chain.note()
        self.update_id += 1
        return Depth(self.update_id, self.update_id, 0, self.levels("bids", limit), self.levels("asks", limit))

    def chain(self, name: str) -> "Chain":
        """The chain of changes called `name`, such as a stream's: made at first use, then the same until dropped."""
        if name not in self._chains:
            self._chains[name] = Chain(self)
        return self._chains[name]

    def drop(self, name: str) -> None:
        """Forget a chain that nobody follows any more: one that is not pushed keeps collecting what snapshots show."""
        self._chains.pop(name, None)

    def _sides(self) -> tuple[Levels, Levels]:
        """What is shown, as two mappings that are never changed: another book is another pair."""
        if self._shown is None:
            self._shown = (self._side("bids"), self._side("asks"))
        return self._shown

    def _side(self, side: BookSide) -> Levels:
        taken, sizes = self._taken[side], self._sizes
        prices = self._bids() if side == "bids" else self._asks()
        if not taken:
            return {price: sizes[_kind(price)] for price in islice(prices, DEPTH)}
        left = ((price, sizes[_kind(price)] - taken.get(price, 0)) for price in prices)
        return dict(islice(((price, size) for price, size in left if size), DEPTH))

    def _bids(self) -> Iterator[int]:
        yield self._bid
        yield from range((self._bid - 1) // self.tick * self.tick, 0, -self.tick)

    def _asks(self) -> Iterator[int]:
        yield self._ask
        price = self._ask // self.tick * self.tick
        while True:
            price += self.tick
            yield price


class Chain:
    """Changes of a book since the last push, whoever listens: each push names the one before."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._last_id = book.update_id
        self._seen = book._sides()
        self._changed: tuple[set[int], set[int]] = (set(), set())
        """Prices that somebody who took a snapshot since the last push may hold otherwise."""

    def note(self) -> None:
        """Remember which levels changed up to now: a snapshot shows them, and they may change back unseen."""
        now = self._book._sides()
        for changed, before, after in zip(self._changed, self._seen, now, strict=True):
            if before is not after:
                changed.update(price for price, _ in before.items() ^ after.items())
        self._seen = now

    def push(self) -> Depth | None:
        """What changed since the last push, absolute sizes, 0 for a level that is gone; None if nothing happened.

        Empty sides are a push too: ids have moved on.
        """
        book = self._book
        if book.update_id == self._last_id:
            return None
        self.note()
        (bids, asks), (bid_prices, ask_prices) = self._seen, self._changed
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

    def top(self, limit: int) -> Depth | None:
        """Instead of `push`, for a stream of the best levels: those, whole; None if nothing happened since the last."""
        book = self._book
        if book.update_id == self._last_id:
            return None
        previous, self._last_id = self._last_id, book.update_id
        self._seen = book._sides()
        self._changed = (set(), set())
        return Depth(previous + 1, book.update_id, previous, book.levels("bids", limit), book.levels("asks", limit))


def _kind(price: int) -> int:
    """Which of the sizes a price has: neighbours differ."""
    return (price * 2_654_435_761 >> 7) % _KINDS


@lru_cache(maxsize=4)
def _size_table(seed: int) -> tuple[int, ...]:
    """Mostly small sizes, some large ones, all above zero: two thousand units in the mean."""
    noise = Random(seed).randbytes(3 * _KINDS)
    return tuple(1 + (a * b * c >> 10) for a, b, c in batched(noise, 3, strict=True))

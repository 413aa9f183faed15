"""The book is never crossed, and whoever follows a chain of it from a snapshot holds exactly the venue's."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opslab.venue.market.candle_path import quotes
from opslab.venue.market.order_book import DEPTH, Book, BookSide, Depth

SIDES: tuple[BookSide, BookSide] = ("bids", "asks")
CHAINS = ("depth@100ms", "depth@250ms", "depth@500ms")


def book_at(bid: int = 1000, ask: int = 1010, tick: int = 10, seed: int = 0) -> Book:
    book = Book(tick, seed)
    book.move(bid, ask)
    return book


class Client:
    """A book kept as Binance tells clients to: pushes are buffered until a snapshot, then applied over it in order."""

    def __init__(self) -> None:
        self.sides: dict[BookSide, dict[int, int]] | None = None
        self.last_id = 0
        self.waiting: list[Depth] = []
        self.bridged = False

    def snapshot(self, depth: Depth) -> None:
        self.sides = {"bids": dict(depth.bids), "asks": dict(depth.asks)}
        self.last_id = depth.last_id
        self.bridged = False
        waiting, self.waiting = self.waiting, []
        for push in waiting:
            self.push(push)

    def push(self, depth: Depth) -> None:
        if self.sides is None:
            self.waiting.append(depth)
            return
        if not self.bridged and depth.last_id < self.last_id:
            return
        if self.bridged:
            assert depth.previous_id == self.last_id
        else:
            assert depth.first_id <= self.last_id <= depth.last_id
            self.bridged = True
        self.last_id = depth.last_id
        for side, changes in (("bids", depth.bids), ("asks", depth.asks)):
            for price, size in changes:
                if size:
                    self.sides[side][price] = size  # type: ignore[index]
                else:
                    self.sides[side].pop(price, None)  # type: ignore[index]


def whole(book: Book) -> dict[BookSide, dict[int, int]]:
    return {side: dict(book.levels(side)) for side in SIDES}


class Followers(RuleBasedStateMachine):
    """Clients of every chain, with snapshots that arrive early, late, again, and one over the other."""

    @initialize(tick=st.sampled_from([1, 10]), seed=st.integers(0, 5))
    def start(self, tick: int, seed: int) -> None:
        self.tick = tick
        self.book = Book(tick, seed, first_update_id=7)
        self.price = 3000
        self.clients: dict[str, list[Client]] = {name: [] for name in CHAINS}
        self.pending: list[tuple[Client, Depth]] = []
        self.told: dict[str, int] = {}

    @rule(step=st.integers(-3, 3) | st.integers(-40, 40) | st.sampled_from([-2500, 2500]), buyer=st.booleans())
    def move(self, step: int, buyer: bool) -> None:
        self.price = max(2 * self.tick, self.price + step * (1 if step % 3 else self.tick))
        self.book.move(*quotes(self.price, self.tick, buyer))

    @rule(buyer=st.booleans())
    def move_and_return(self, buyer: bool) -> None:
        """What a snapshot between the two shows must not stay with whoever took it."""
        self.book.move(*quotes(self.price + 3 * self.tick, self.tick, buyer))
        self.ask_for_snapshots(0)
        self.book.move(*quotes(self.price, self.tick, buyer))

    @precondition(lambda self: self.book.best()[0])
    @rule(side=st.sampled_from(SIDES), level=st.integers(0, 12), part=st.sampled_from([1, 3, 1000]))
    def take(self, side: BookSide, level: int, part: int) -> None:
        levels = self.book.levels(side)
        if levels:
            price, size = levels[min(level, len(levels) - 1)]
            self.book.take(side, price, max(1, size * part // 1000))

    @precondition(lambda self: self.book.best()[0])
    @rule(side=st.sampled_from(SIDES), levels=st.integers(1, DEPTH))
    def sweep(self, side: BookSide, levels: int) -> None:
        for price, size in self.book.levels(side, levels):
            self.book.take(side, price, size)

    @rule(name=st.sampled_from(CHAINS))
    def subscribe(self, name: str) -> None:
        self.book.chain(name)
        self.clients[name].append(Client())

    @rule(kept=st.integers(0, 3))
    def ask_for_snapshots(self, kept: int) -> None:
        """For everybody; the answers of the first few are on their way for a while."""
        for client in [client for clients in self.clients.values() for client in clients]:
            depth = self.book.snapshot()
            if kept and client.sides is None:
                self.pending.append((client, depth))
                kept -= 1
            else:
                client.snapshot(depth)

    @rule()
    def answers_arrive(self) -> None:
        for client, depth in self.pending:
            if client.sides is None:
                client.snapshot(depth)
        self.pending = []

    @rule(names=st.sets(st.sampled_from(CHAINS), min_size=1))
    def push(self, names: set[str]) -> None:
        for name in sorted(names):
            depth = self.book.chain(name).push()
            if depth is None:
                continue
            assert depth.previous_id == self.told.get(name, depth.previous_id)
            assert depth.previous_id < depth.first_id <= depth.last_id == self.book.update_id
            self.told[name] = depth.last_id
            for client in self.clients[name]:
                client.push(depth)
                if client.bridged:
                    assert client.sides == whole(self.book)

    @rule(name=st.sampled_from(CHAINS))
    def all_leave(self, name: str) -> None:
        self.book.drop(name)
        self.told.pop(name, None)
        self.clients[name] = []

    @invariant()
    def the_book_is_a_book(self) -> None:
        bids, asks = (self.book.levels(side) for side in SIDES)
        assert all(first[0] > second[0] for first, second in pairwise(bids))
        assert all(first[0] < second[0] for first, second in pairwise(asks))
        assert all(price > 0 and size > 0 for price, size in (*bids, *asks))
        assert self.book.best() == (*(bids[0] if bids else (0, 0)), *(asks[0] if asks else (0, 0)))
        if bids and asks:
            assert bids[0][0] < asks[0][0]


Followers.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFollowers = Followers.TestCase


def test_each_side_shows_many_levels_on_the_grid() -> None:
    book = book_at(95_505_40, 95_505_50)
    bids, asks = book.levels("bids"), book.levels("asks")
    assert len(bids) == len(asks) == DEPTH >= 100
    assert [price for price, _ in bids] == [95_505_40 - 10 * k for k in range(DEPTH)]
    assert [price for price, _ in asks] == [95_505_50 + 10 * k for k in range(DEPTH)]
    assert book.levels("bids", 5) == bids[:5]


def test_a_quote_off_the_grid_stands_before_levels_on_it() -> None:
    book = book_at(995, 1003)
    assert [price for price, _ in book.levels("bids", 3)] == [995, 990, 980]
    assert [price for price, _ in book.levels("asks", 3)] == [1003, 1010, 1020]


def test_bids_end_above_zero() -> None:
    assert [price for price, _ in book_at(35, 40).levels("bids")] == [35, 30, 20, 10]
    assert [price for price, _ in book_at(5, 10).levels("bids")] == [5]


def test_sizes_depend_on_price_and_seed_alone() -> None:
    book = book_at()
    before = book.levels("bids")
    book.move(1200, 1210)
    book.move(1000, 1010)
    assert book.levels("bids") == before == book_at().levels("bids")
    assert book_at(seed=1).levels("bids") != before


def test_what_is_taken_is_gone_until_the_next_tick() -> None:
    book = book_at()
    (price, size), (behind, _) = book.levels("asks", 2)
    book.take("asks", price, size - 1)
    assert book.levels("asks", 1) == [(price, 1)]
    book.take("asks", price, 1)
    assert book.best()[2] == behind
    assert len(book.levels("asks")) == DEPTH
    book.move(1000, 1010)
    assert book.best()[2:] == (price, size)


def test_more_than_there_is_cannot_be_taken() -> None:
    book = book_at()
    price, size = book.levels("bids", 1)[0]
    for wrong in ((price, size + 1), (price, 0), (price, -1), (price + 10, 1)):
        with pytest.raises(ValueError, match="have"):
            book.take("bids", *wrong)
    book.take("bids", price, size)
    with pytest.raises(ValueError, match="have 0"):
        book.take("bids", price, 1)


def test_a_side_with_nothing_left_says_so() -> None:
    book = book_at(10, 20)
    book.take("bids", *book.levels("bids")[0])
    assert book.levels("bids") == []
    assert book.best()[:2] == (0, 0)
    assert Book(10).best() == (0, 0, 0, 0)


@pytest.mark.parametrize("quote", [(1010, 1000), (1000, 1000), (0, 10), (-10, 10)])
def test_a_crossed_quote_is_refused(quote: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no quote"):
        book_at().move(*quote)


@given(st.lists(st.sampled_from(["move", "same", "take", "snapshot", "nothing"]), max_size=20))
def test_ids_rise_with_everything_that_happens(steps: list[str]) -> None:
    book = book_at()
    chain = book.chain("depth@100ms")
    for step in steps:
        before, bid = book.update_id, book.best()[0]
        if step == "take":
            book.take("bids", bid, 1)
        elif step == "snapshot":
            book.snapshot()
        elif step != "nothing":
            book.move(1000, 1010 if step == "same" else 1020)
        assert (book.update_id > before) == (step != "nothing")
        push = chain.push()
        assert (push is None) == (step == "nothing")
        assert push is None or (push.first_id, push.last_id, push.previous_id) == (before + 1, book.update_id, before)


def test_a_push_after_a_snapshot_alone_is_empty() -> None:
    book = book_at()
    chain = book.chain("depth@100ms")
    depth = book.snapshot()
    push = chain.push()
    assert push is not None
    assert (push.bids, push.asks) == ([], [])
    assert push.first_id <= depth.last_id <= push.last_id


def test_a_push_tells_what_changed_and_nothing_else() -> None:
    book = book_at(95_000, 95_010)
    chain = book.chain("depth@100ms")
    assert chain.push() is None
    book.move(95_010, 95_020)
    push = chain.push()
    assert push is not None
    (came, size), *_ = book.levels("bids")
    assert push.bids == [(came, size), (95_010 - 10 * DEPTH, 0)]
    assert push.asks == [(95_010, 0), book.levels("asks")[-1]]


def test_the_best_levels_come_whole_with_a_chain_of_their_own() -> None:
    book = book_at()
    chain = book.chain("depth5@100ms")
    assert chain.top(5) is None
    last = book.update_id
    for price in (1010, 1020, 1010):
        book.move(price, price + 10)
        book.snapshot()
        depth = chain.top(5)
        assert depth is not None
        assert depth == Depth(last + 1, book.update_id, last, book.levels("bids", 5), book.levels("asks", 5))
        last = depth.last_id


def test_a_chain_has_one_name_until_it_is_dropped() -> None:
    book = book_at()
    chain = book.chain("depth@100ms")
    assert book.chain("depth@100ms") is chain
    book.drop("depth@100ms")
    book.drop("depth@100ms")
    assert book.chain("depth@100ms") is not chain

"""The book is never crossed, and a client that applies a diff stream to a snapshot holds exactly the venue's book."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opslab.venue.market.candle_path import quotes
from opslab.venue.market.order_book import MAX_LEVELS, BookSide, Depth, OrderBook

SIDES: tuple[BookSide, BookSide] = ("bids", "asks")
STREAMS = ("depth@100ms", "depth@250ms", "depth@500ms")


def book_at(bid: int = 1000, ask: int = 1010, tick: int = 10, seed: int = 0) -> OrderBook:
    book = OrderBook(tick, seed)
    book.set_quote(bid, ask)
    return book


class Client:
    """A local book as Binance documents it: diffs are buffered until the snapshot, then applied to it in order."""

    def __init__(self) -> None:
        self.sides: dict[BookSide, dict[int, int]] | None = None
        self.last_id = 0
        self.buffered: list[Depth] = []
        self.bridged = False

    def apply_snapshot(self, depth: Depth) -> None:
        self.sides = {"bids": dict(depth.bids), "asks": dict(depth.asks)}
        self.last_id = depth.last_id
        self.bridged = False
        buffered, self.buffered = self.buffered, []
        for diff in buffered:
            self.apply_diff(diff)

    def apply_diff(self, depth: Depth) -> None:
        if self.sides is None:
            self.buffered.append(depth)
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


def whole(book: OrderBook) -> dict[BookSide, dict[int, int]]:
    return {side: dict(book.levels(side)) for side in SIDES}


class DiffClients(RuleBasedStateMachine):
    """Clients of every diff stream, with snapshots that arrive early, late, twice, and in any order."""

    @initialize(tick=st.sampled_from([1, 10]), seed=st.integers(0, 5))
    def start(self, tick: int, seed: int) -> None:
        self.tick = tick
        self.book = OrderBook(tick, seed, first_update_id=7)
        self.price = 3000
        self.clients: dict[str, list[Client]] = {name: [] for name in STREAMS}
        self.pending: list[tuple[Client, Depth]] = []
        self.last_ids: dict[str, int] = {}

    @rule(step=st.integers(-3, 3) | st.integers(-40, 40) | st.sampled_from([-2500, 2500]), buyer=st.booleans())
    def move(self, step: int, buyer: bool) -> None:
        self.price = max(2 * self.tick, self.price + step * (1 if step % 3 else self.tick))
        self.book.set_quote(*quotes(self.price, self.tick, buyer))

    @rule(buyer=st.booleans())
    def move_and_return(self, buyer: bool) -> None:
        """A client with a snapshot of the state in between must not keep that state."""
        self.book.set_quote(*quotes(self.price + 3 * self.tick, self.tick, buyer))
        self.request_snapshots(0)
        self.book.set_quote(*quotes(self.price, self.tick, buyer))

    @precondition(lambda self: self.book.best()[0])
    @rule(side=st.sampled_from(SIDES), level=st.integers(0, 12), part=st.sampled_from([1, 3, 1000]))
    def consume(self, side: BookSide, level: int, part: int) -> None:
        levels = self.book.levels(side)
        if levels:
            price, size = levels[min(level, len(levels) - 1)]
            self.book.consume(side, price, max(1, size * part // 1000))

    @precondition(lambda self: self.book.best()[0])
    @rule(side=st.sampled_from(SIDES), levels=st.integers(1, MAX_LEVELS))
    def sweep(self, side: BookSide, levels: int) -> None:
        for price, size in self.book.levels(side, levels):
            self.book.consume(side, price, size)

    @rule(name=st.sampled_from(STREAMS))
    def subscribe(self, name: str) -> None:
        self.book.diff_stream(name)
        self.clients[name].append(Client())

    @rule(delayed=st.integers(0, 3))
    def request_snapshots(self, delayed: int) -> None:
        """For every client; the first `delayed` answers arrive later."""
        for client in [client for clients in self.clients.values() for client in clients]:
            depth = self.book.snapshot()
            if delayed and client.sides is None:
                self.pending.append((client, depth))
                delayed -= 1
            else:
                client.apply_snapshot(depth)

    @rule()
    def answers_arrive(self) -> None:
        for client, depth in self.pending:
            if client.sides is None:
                client.apply_snapshot(depth)
        self.pending = []

    @rule(names=st.sets(st.sampled_from(STREAMS), min_size=1))
    def send_diffs(self, names: set[str]) -> None:
        for name in sorted(names):
            depth = self.book.diff_stream(name).next_diff()
            if depth is None:
                continue
            assert depth.previous_id == self.last_ids.get(name, depth.previous_id)
            assert depth.previous_id < depth.first_id <= depth.last_id == self.book.update_id
            self.last_ids[name] = depth.last_id
            for client in self.clients[name]:
                client.apply_diff(depth)
                if client.bridged:
                    assert client.sides == whole(self.book)

    @rule(name=st.sampled_from(STREAMS))
    def all_unsubscribe(self, name: str) -> None:
        self.book.drop_diff_stream(name)
        self.last_ids.pop(name, None)
        self.clients[name] = []

    @invariant()
    def the_book_is_valid(self) -> None:
        bids, asks = (self.book.levels(side) for side in SIDES)
        assert all(first[0] > second[0] for first, second in pairwise(bids))
        assert all(first[0] < second[0] for first, second in pairwise(asks))
        assert all(price > 0 and size > 0 for price, size in (*bids, *asks))
        assert self.book.best() == (*(bids[0] if bids else (0, 0)), *(asks[0] if asks else (0, 0)))
        if bids and asks:
            assert bids[0][0] < asks[0][0]


DiffClients.TestCase.settings = settings(max_examples=75, stateful_step_count=40)
TestDiffClients = DiffClients.TestCase


def test_each_side_shows_many_levels_on_the_grid() -> None:
    book = book_at(95_505_40, 95_505_50)
    bids, asks = book.levels("bids"), book.levels("asks")
    assert len(bids) == len(asks) == MAX_LEVELS >= 100
    assert [price for price, _ in bids] == [95_505_40 - 10 * k for k in range(MAX_LEVELS)]
    assert [price for price, _ in asks] == [95_505_50 + 10 * k for k in range(MAX_LEVELS)]
    assert book.levels("bids", 5) == bids[:5]


def test_a_quote_off_the_grid_comes_before_the_levels_on_it() -> None:
    book = book_at(995, 1003)
    assert [price for price, _ in book.levels("bids", 3)] == [995, 990, 980]
    assert [price for price, _ in book.levels("asks", 3)] == [1003, 1010, 1020]


def test_bids_end_above_zero() -> None:
    assert [price for price, _ in book_at(35, 40).levels("bids")] == [35, 30, 20, 10]
    assert [price for price, _ in book_at(5, 10).levels("bids")] == [5]


def test_sizes_depend_on_price_and_seed_only() -> None:
    book = book_at()
    before = book.levels("bids")
    book.set_quote(1200, 1210)
    book.set_quote(1000, 1010)
    assert book.levels("bids") == before == book_at().levels("bids")
    assert book_at(seed=1).levels("bids") != before


def test_consumed_liquidity_is_missing_until_the_next_quote() -> None:
    book = book_at()
    (price, size), (next_price, _) = book.levels("asks", 2)
    book.consume("asks", price, size - 1)
    assert book.levels("asks", 1) == [(price, 1)]
    book.consume("asks", price, 1)
    assert book.best()[2] == next_price
    assert len(book.levels("asks")) == MAX_LEVELS
    book.set_quote(1000, 1010)
    assert book.best()[2:] == (price, size)


def test_more_than_a_level_has_cannot_be_consumed() -> None:
    book = book_at()
    price, size = book.levels("bids", 1)[0]
    for level in ((price, size + 1), (price, 0), (price, -1), (price + 10, 1)):
        with pytest.raises(ValueError, match="have"):
            book.consume("bids", *level)
    book.consume("bids", price, size)
    with pytest.raises(ValueError, match="have 0"):
        book.consume("bids", price, 1)


def test_the_best_level_of_an_empty_side_is_zero() -> None:
    book = book_at(10, 20)
    book.consume("bids", *book.levels("bids")[0])
    assert book.levels("bids") == []
    assert book.best()[:2] == (0, 0)
    assert OrderBook(10).best() == (0, 0, 0, 0)


@pytest.mark.parametrize("quote", [(1010, 1000), (1000, 1000), (0, 10), (-10, 10)])
def test_a_crossed_quote_is_refused(quote: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="invalid quote"):
        book_at().set_quote(*quote)


@given(st.lists(st.sampled_from(["move", "same", "consume", "snapshot", "nothing"]), max_size=20))
def test_ids_increase_with_every_change(steps: list[str]) -> None:
    book = book_at()
    stream = book.diff_stream("depth@100ms")
    for step in steps:
        before, bid = book.update_id, book.best()[0]
        if step == "consume":
            book.consume("bids", bid, 1)
        elif step == "snapshot":
            book.snapshot()
        elif step != "nothing":
            book.set_quote(1000, 1010 if step == "same" else 1020)
        assert (book.update_id > before) == (step != "nothing")
        diff = stream.next_diff()
        assert (diff is None) == (step == "nothing")
        assert diff is None or (diff.first_id, diff.last_id, diff.previous_id) == (before + 1, book.update_id, before)


def test_a_diff_after_a_snapshot_only_is_empty() -> None:
    book = book_at()
    stream = book.diff_stream("depth@100ms")
    depth = book.snapshot()
    diff = stream.next_diff()
    assert diff is not None
    assert (diff.bids, diff.asks) == ([], [])
    assert diff.first_id <= depth.last_id <= diff.last_id


def test_a_diff_has_the_changes_and_nothing_else() -> None:
    book = book_at(95_000, 95_010)
    stream = book.diff_stream("depth@100ms")
    assert stream.next_diff() is None
    book.set_quote(95_010, 95_020)
    diff = stream.next_diff()
    assert diff is not None
    (new_price, size), *_ = book.levels("bids")
    assert diff.bids == [(new_price, size), (95_010 - 10 * MAX_LEVELS, 0)]
    assert diff.asks == [(95_010, 0), book.levels("asks")[-1]]


def test_partial_depth_has_all_best_levels_and_its_own_ids() -> None:
    book = book_at()
    stream = book.diff_stream("depth5@100ms")
    assert stream.next_top(5) is None
    last = book.update_id
    for price in (1010, 1020, 1010):
        book.set_quote(price, price + 10)
        book.snapshot()
        depth = stream.next_top(5)
        assert depth is not None
        assert depth == Depth(last + 1, book.update_id, last, book.levels("bids", 5), book.levels("asks", 5))
        last = depth.last_id


def test_a_diff_stream_is_one_object_until_it_is_dropped() -> None:
    book = book_at()
    stream = book.diff_stream("depth@100ms")
    assert book.diff_stream("depth@100ms") is stream
    book.drop_diff_stream("depth@100ms")
    book.drop_diff_stream("depth@100ms")
    assert book.diff_stream("depth@100ms") is not stream

"""Prefetching changes only the time."""

import threading
from collections.abc import Iterator

import pytest

from opslab.datasets.sources.prefetch import read_ahead


def test_items_come_in_order() -> None:
    assert list(read_ahead(iter(range(1000)))) == list(range(1000))


def test_an_exception_of_the_source_follows_its_items() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    seen: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        seen.extend(read_ahead(source()))
    items = read_ahead(source())
    assert [next(items), next(items)] == [1, 2]


def test_a_consumer_that_stops_ends_the_thread() -> None:
    produced = []
    before = set(threading.enumerate())

    def source() -> Iterator[int]:
        for number in range(1000):
            produced.append(number)
            yield number

    items = read_ahead(source())
    assert next(items) == 0
    items.close()
    assert len(produced) < 10
    assert not set(threading.enumerate()) - before

"""The exchange changes nothing without a written ledger, and counts the failed writes."""

import pytest

from opslab.venue.api_error import ApiError
from tests.fakes.memory_exchange import MemoryExchange


def test_a_failed_ledger_write_rejects_the_order_and_is_counted() -> None:
    memory = MemoryExchange()
    memory.place("BUY", "0.010", "41000.0")
    memory.ledger.full = True
    for _ in range(2):
        with pytest.raises(ApiError, match="-1008"):
            memory.place("BUY", "0.020", "41000.0")
    assert memory.counters.counts() == {"failed ledger writes": 2}
    assert list(memory.exchange.account.open) == [1]

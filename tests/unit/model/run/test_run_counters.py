"""Round trips by bucket, orders by outcome."""

import pytest
from pydantic import ValidationError

from opslab.model.run.run_counters import ROUND_TRIP_BOUNDS_SECONDS, OrderCounters, RoundTrips


@pytest.mark.parametrize(("number", "bound"), list(enumerate(ROUND_TRIP_BOUNDS_SECONDS)))
def test_a_bucket_includes_its_bound(number: int, bound: float) -> None:
    at, above = RoundTrips.of([bound * 1000]), RoundTrips.of([bound * 1000 + 0.001])
    assert [index for index, count in enumerate(at.counts) if count] == [number]
    assert [index for index, count in enumerate(above.counts) if count] == [number + 1]


def test_the_last_bucket_has_no_bound_and_the_first_begins_at_zero() -> None:
    trips = RoundTrips.of([0.0, 1e9, 30_000.001])
    assert (trips.counts[0], trips.counts[-1], trips.count) == (1, 2, 3)


def test_the_sum_is_exact_to_a_microsecond_over_many_additions() -> None:
    trips = RoundTrips()
    for _ in range(1_000):
        trips = trips.plus([0.1, 2.345])
    assert (trips.count, trips.sum_seconds) == (2_000, 2.445)


def test_counts_of_other_buckets_are_refused() -> None:
    with pytest.raises(ValidationError):
        RoundTrips(counts=(1, 2, 3), sum_seconds=0.1)


def test_each_count_is_the_higher_of_both() -> None:
    ledger = OrderCounters(submitted=5, rejected=0, filled=3, fills=4)
    reported = OrderCounters(submitted=4, rejected=1, filled=2, fills=4)
    assert ledger.at_least(reported) == OrderCounters(submitted=5, rejected=1, filled=3, fills=4)

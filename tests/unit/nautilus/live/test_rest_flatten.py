"""Flatten over REST, bypassing the engine, until the venue reports flat."""

from collections.abc import Callable
from decimal import Decimal

from opslab.nautilus.live.rest_flatten import ROUND_SECONDS, SLOW_AFTER_SECONDS, SLOW_ROUND_SECONDS, RestFlattener
from opslab.nautilus.live.venue_rest_client import OpenExposure, VenueUnreachable
from opslab.system import SystemClock
from tests.drivers.tc import wait_until


class ScriptedClient:
    """In place of the `VenueRestClient`: an account in memory. unreachable: number of queries that fail."""

    def __init__(self, *, orders: int = 0, position: str = "0", unreachable: int = 0) -> None:
        self.orders, self.position, self.unreachable = orders, Decimal(position), unreachable
        self.requests: list[str] = []

    def exposure(self) -> OpenExposure:
        self.requests.append("exposure")
        if self.unreachable:
            self.unreachable -= 1
            raise VenueUnreachable("no")
        return OpenExposure(self.orders, self.position)

    def cancel_all(self) -> None:
        self.requests.append("cancel")
        self.orders = 0

    def reduce(self, position: Decimal) -> None:
        self.requests.append("reduce")
        self.position -= position


def rest_flattener(client: ScriptedClient) -> RestFlattener:
    return RestFlattener(client, SystemClock())  # type: ignore[arg-type]


def wait_with_reports(flattener: RestFlattener, condition: Callable[[], bool]) -> None:
    """Wait while the engine reports again and again that nothing is in flight, as its thread does."""

    def report_and_check() -> bool:
        flattener.nothing_in_flight()
        return condition()

    wait_until(report_and_check, "the account to be confirmed flat")


def test_it_closes_before_it_cancels_and_is_not_confirmed_while_orders_may_be_in_flight() -> None:
    client = ScriptedClient(orders=3, position="0.020")
    flattener = rest_flattener(client)
    flattener.start()
    wait_until(lambda: client.requests.count("exposure") > 6, "some rounds")
    assert client.requests[:3] == ["exposure", "reduce", "cancel"]
    assert not flattener.confirmed_flat, "the engine has not reported that nothing is in flight"
    result = flattener.finish()
    assert (result.flat, client.orders, client.position) == (True, 0, Decimal(0))


def test_it_cancels_orders_that_arrive_later() -> None:
    client = ScriptedClient(orders=1)
    flattener = rest_flattener(client)
    flattener.start()
    wait_with_reports(flattener, lambda: flattener.confirmed_flat)
    client.orders = 2
    wait_until(lambda: client.orders == 0, "the late orders to be canceled")
    assert flattener.finish().flat


def test_a_venue_that_does_not_answer_is_queried_again() -> None:
    client = ScriptedClient(orders=1, unreachable=3)
    assert rest_flattener(client).finish().flat
    assert client.orders == 0


class OverloadedClient(ScriptedClient):
    """Rejects every order until `recovered`."""

    recovered = False

    def reduce(self, position: Decimal) -> None:
        if not self.recovered:
            self.requests.append("rejected")
            raise VenueUnreachable("status 503")
        super().reduce(position)


class LaterClock(SystemClock):
    """The machine's clock, which a test can advance."""

    advance_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.advance_s


def test_rejected_orders_are_repeated_once_a_round_ever_slower_until_the_overload_ends() -> None:
    client, clock = OverloadedClient(position="0.020"), LaterClock()
    flattener = RestFlattener(client, clock)  # type: ignore[arg-type]
    began_s = clock.monotonic_s()
    flattener.start()
    wait_until(lambda: client.requests.count("rejected") >= 5, "some rounds")
    assert clock.monotonic_s() - began_s >= 4 * ROUND_SECONDS
    clock.advance_s = SLOW_AFTER_SECONDS
    slow_s, count = clock.monotonic_s(), client.requests.count("rejected")
    wait_until(lambda: client.requests.count("rejected") >= count + 4, "some slow rounds")
    assert clock.monotonic_s() - slow_s >= 2 * SLOW_ROUND_SECONDS
    client.recovered = True
    wait_until(lambda: not client.position, "the position to be closed")
    assert flattener.finish().flat

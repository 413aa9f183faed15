"""Which events of orders a strategy of a live node does not receive."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.core import UUID4
from nautilus_trader.model import (
    ClientOrderId,
    InstrumentId,
    OrderInitialized,
    OrderSide,
    OrderType,
    Quantity,
    StrategyId,
    TimeInForce,
    TraderId,
)

from opslab.model.messages.order_ids import is_external, is_generated
from opslab.nautilus.strategy.external_orders import ExternalOrders

GENERATED = "O-20261121-204553-001-001-1"
OF_EARLIER_ENGINE = "mine-0"


def initialized(name: str, *, reconciliation: bool) -> OrderInitialized:
    return OrderInitialized(
        TraderId("OPSLAB-002"),
        StrategyId("S-001"),
        InstrumentId.from_str("BTCUSDT-PERP.BINANCE"),
        ClientOrderId(name),
        OrderSide.BUY,
        OrderType.MARKET,
        Quantity.from_str("0.010"),
        TimeInForce.GTC,
        False,
        False,
        False,
        reconciliation,
        UUID4(),
        0,
        0,
    )


def later(name: str) -> Any:
    return SimpleNamespace(client_order_id=name)


@pytest.fixture
def orders() -> ExternalOrders:
    return ExternalOrders([OF_EARLIER_ENGINE])


@pytest.fixture
def received(orders: ExternalOrders) -> list[str]:
    return []


@pytest.fixture
def handler(orders: ExternalOrders, received: list[str]) -> Callable[[Any], Any]:
    return orders.skip_events(lambda event: received.append(str(event.client_order_id)))


@pytest.mark.parametrize("name", [GENERATED, OF_EARLIER_ENGINE])
def test_orders_of_an_earlier_engine_are_the_strategys(
    handler: Callable[[Any], Any], received: list[str], name: str
) -> None:
    handler(initialized(name, reconciliation=True))
    handler(later(name))
    assert received == [name, name]


def test_an_order_with_an_id_that_the_strategy_chose_is_its_own(
    handler: Callable[[Any], Any], received: list[str]
) -> None:
    handler(initialized("mine-1", reconciliation=False))
    handler(later("mine-1"))
    assert received == ["mine-1", "mine-1"]


def test_no_event_of_an_external_order_reaches_the_strategy(handler: Callable[[Any], Any], received: list[str]) -> None:
    handler(initialized("venue_1", reconciliation=True))
    handler(later("venue_1"))
    handler(later("known-at-the-start"))
    assert received == []


def test_a_strategy_that_claims_external_orders_receives_their_events(
    orders: ExternalOrders, handler: Callable[[Any], Any], received: list[str]
) -> None:
    orders.are_claimed = True
    handler(later("venue_1"))
    assert received == ["venue_1"]
    assert orders.has(later("venue_1"))


@pytest.mark.parametrize("name", [GENERATED, GENERATED.replace("-", ""), f"{GENERATED}-E1"])
def test_ids_of_the_engine_are_recognized(name: str) -> None:
    assert is_generated(name)


@pytest.mark.parametrize("name", ["", "O-1", "venue_1", f"x{GENERATED}", f"{GENERATED}-2", "O-20261121-by-hand"])
def test_other_ids_are_not_the_engines(name: str) -> None:
    assert not is_generated(name)


@pytest.mark.parametrize(
    ("wire_id", "is_expected"),
    [
        ("x-aHRE4BCj-T04asLHBvvAy6z", False),
        ("x-aHRE4BCj-Rmine-1", False),
        ("opslab-flatten-7", False),
        ("autoclose-7", False),
        ("adl_autoclose", False),
        ("venue_7", True),
        ("by-hand", True),
        (GENERATED, True),
    ],
)
def test_an_order_is_external_by_its_id_on_the_wire(wire_id: str, is_expected: bool) -> None:
    assert is_external(wire_id) is is_expected

"""Account state computed independently from a venue's ledger, and its comparison with the state of a node."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from nautilus_trader.adapters.binance import decode_binance_futures_client_order_id

from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, Opened

CLAIMS = "S-001"
"""The strategy to which the node assigns orders and positions found at the venue."""
_ENTRY_TOLERANCE = 1e-9
"""Maximum relative difference of an entry price: the engine keeps it in a float."""


def plain(client_order_id: str) -> str:
    """The client order id of the engine, without the prefix that the adapter adds."""
    return decode_binance_futures_client_order_id(client_order_id)


@dataclass(slots=True)
class LedgerState:
    """The state after the events of a ledger, computed without the code of the venue."""

    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    """All accepted orders by order id, with their current state."""
    trades: dict[int, Filled] = field(default_factory=dict)
    wallet: Decimal = Decimal(0)
    position: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)

    @property
    def open(self) -> dict[int, dict[str, Any]]:
        return {
            number: order for number, order in self.orders.items() if order["status"] in ("NEW", "PARTIALLY_FILLED")
        }

    @property
    def entry(self) -> Decimal | None:
        """Average entry price of the position."""
        return self.cost / self.position if self.position else None


def ledger_state(events: Iterable[LedgerEvent]) -> LedgerState:
    state = LedgerState()
    for event in events:
        match event:
            case Opened():
                state.wallet = event.balance
            case Accepted():
                state.orders[event.order_id] = {**event.model_dump(), "filled": Decimal(0), "status": "NEW"}
            case Filled():
                order = state.orders[event.order_id]
                order["filled"] += event.quantity
                order["status"] = "FILLED" if order["filled"] == order["quantity"] else "PARTIALLY_FILLED"
                state.trades[event.trade_id] = event
                state.wallet, state.position, state.cost = event.wallet, event.position, event.cost
                state.fees += event.fee
            case Amended():
                state.orders[event.order_id] |= {"quantity": event.quantity, "price": event.price}
            case Canceled():
                state.orders[event.order_id]["status"] = "CANCELED"
            case Expired():
                state.orders[event.order_id]["status"] = "EXPIRED"
    return state


def differences(
    node: dict[str, Any], ledger: LedgerState, *, entry_off: float = _ENTRY_TOLERANCE, given_up: Set[str] = frozenset()
) -> list[str]:
    """Differences between the reported cache of a node and the ledger; empty if there are none.

    given_up: ids of orders that may be open in the ledger while the node has them as canceled.
    """
    differing = []
    node_orders = {
        int(order["venue_order_id"]): (id, order["side"], order["quantity"], order["filled"], order["price"])
        for id, order in node["open"].items()
    }
    ledger_orders = {
        number: (plain(order["client_order_id"]), order["side"], order["quantity"], order["filled"], order["price"])
        for number, order in ledger.open.items()
        if not ((id := plain(order["client_order_id"])) in given_up and node["closed"].get(id) == "CANCELED")
    }
    for number in node_orders.keys() | ledger_orders.keys():
        ours, theirs = node_orders.get(number), ledger_orders.get(number)
        same = ours and theirs and ours[:2] == theirs[:2] and [Decimal(text) for text in ours[2:]] == list(theirs[2:])
        if not same:
            differing.append(f"order {number}: the node has {ours}, the ledger {theirs}")
    if node["in_flight"]:
        differing.append(f"in flight: {node['in_flight']}")
    foreign = {each["strategy"] for each in (*node["open"].values(), *node["positions"])} - {CLAIMS}
    if foreign:
        differing.append(f"foreign strategies: {foreign}")
    position = sum((Decimal(each["quantity"]) for each in node["positions"]), Decimal(0))
    if position != ledger.position or len(node["positions"]) > 1:
        differing.append(f"position: the node has {node['positions']}, the ledger {ledger.position}")
    elif ledger.entry is not None:
        entry = node["positions"][0]["entry"]
        if abs(entry / float(ledger.entry) - 1) > entry_off:
            differing.append(f"entry: the node has {entry}, the ledger {ledger.entry}")
    if node["balance"] is None or Decimal(node["balance"]) != ledger.wallet:
        differing.append(f"balance: the node has {node['balance']}, the ledger {ledger.wallet}")
    return differing

"""Convert the account as a node has it, and as its venue has it, to snapshots that can be compared."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from opslab.model.messages.paper_messages import AccountSnapshot, AccountState, NodeSnapshot
from opslab.model.primitives.canonical import digest_bytes
from opslab.reconciliation.result import SnapshotSummary
from opslab.reconciliation.snapshot import Snapshot, snapshot_of

NOT_COMPARED = ("balances.free", "balances.locked")
"""A node receives margins when it connects and the wallet with every fill; it cannot know how much of it is free."""
_PRICE_DECIMALS = 12
NO_ANSWER = SnapshotSummary(digest=None, as_of=None, positions=None, open_orders=None, balances=None)


def snapshot_of_node(node: NodeSnapshot) -> Snapshot:
    return snapshot_of_account(node.account, {})


def snapshot_of_venue(venue: AccountSnapshot, node: NodeSnapshot) -> Snapshot:
    """Orders that the node knows get the node's client order id; others keep their id on the wire."""
    node_ids = {venue_order_id: client_id for client_id, venue_order_id in node.venue_order_ids.items()}
    client_order_ids = {
        wire_id: node_ids[venue_order_id]
        for wire_id, venue_order_id in venue.venue_order_ids.items()
        if venue_order_id in node_ids
    }
    return snapshot_of_account(venue.account, client_order_ids)


def snapshot_of_account(account: AccountState, client_order_ids: Mapping[str, str]) -> Snapshot:
    """client_order_ids: the order's id in `account` to the id to use instead."""
    document: dict[str, Any] = account.model_dump(mode="json")
    digest = digest_bytes(to_json(document))
    for order in document["open_orders"] or ():
        order["client_order_id"] = client_order_ids.get(order["client_order_id"], order["client_order_id"])
    for position in document["positions"] or ():
        position["average_entry_price"] = _shortened(position["average_entry_price"])
    for balance in document["balances"] or ():
        balance["free"], balance["locked"] = balance["total"], "0"
    return snapshot_of(document, digest)


def _shortened(price: str | None) -> str | None:
    """An average may have more decimals than a comparison uses."""
    whole, point, decimals = (price or "").partition(".")
    return f"{whole}{point}{decimals[:_PRICE_DECIMALS]}" if price else None

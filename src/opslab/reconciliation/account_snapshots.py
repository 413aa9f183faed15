"""What a node believes, and what its venue says, as snapshots that can be held against each other."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from opslab.model.messages.paper_messages import AccountState, AccountSnapshot, NodeSnapshot
from opslab.model.primitives.canonical import digest_bytes
from opslab.reconciliation.result import SnapshotSummary
from opslab.reconciliation.snapshot import Snapshot, snapshot_of

NOT_COMPARED = ("balances.free", "balances.locked")
"""A node learns of margins when it connects, and of the wallet with every fill: what of it is free it cannot know."""
_DECIMALS = 12
NO_ANSWER = SnapshotSummary(digest=None, as_of=None, positions=None, open_orders=None, balances=None)


def node_snapshot(node: NodeSnapshot) -> Snapshot:
    return account_snapshot(node.account, {})


def venue_snapshot(venue: AccountSnapshot, node: NodeSnapshot) -> Snapshot:
    """With the node's own ids of the orders that it knows; another keeps the id that it has on the wire."""
    ours = {number: client_id for client_id, number in node.venue_order_ids.items()}
    names = {wire: ours[number] for wire, number in venue.venue_order_ids.items() if number in ours}
    return account_snapshot(venue.account, names)


def account_snapshot(account: AccountState, names: Mapping[str, str]) -> Snapshot:
    """names: the id that an order's own id stands for."""
    document: dict[str, Any] = account.model_dump(mode="json")
    digest = digest_bytes(to_json(document))
    for order in document["open_orders"] or ():
        order["client_order_id"] = names.get(order["client_order_id"], order["client_order_id"])
    for position in document["positions"] or ():
        position["average_entry_price"] = _shorter(position["average_entry_price"])
    for balance in document["balances"] or ():
        balance["free"], balance["locked"] = balance["total"], "0"
    return snapshot_of(document, digest)


def _shorter(price: str | None) -> str | None:
    """An average may have more decimals than anything is compared by."""
    whole, point, decimals = (price or "").partition(".")
    return f"{whole}{point}{decimals[:_DECIMALS]}" if price else None

"""usage: long_ledger.py PLAN TRANSACTIONS

Write the ledger of a venue with TRANSACTIONS transactions: market orders, alternately buying and selling. PLAN: a file
with the plan of the venue's child. Lines are not synced one by one.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from pydantic_core import to_json

from opslab.model.market.instrument import instrument_of
from opslab.model.messages.ledger_events import LedgerEvent, Opened, OrderSide, event_fields
from opslab.model.messages.venue_messages import VenuePlan
from opslab.model.primitives.canonical import DIGEST_PREFIX
from opslab.store.venues.ledger import NAME
from opslab.venue.account.account import Account
from opslab.venue.account.matching_engine import MatchingEngine
from opslab.venue.account.order_requests import parse_new_order

START_MS = 1_704_067_200_000
PRICES = {"BUY": Decimal("42000.10"), "SELL": Decimal("42000.00")}
MINUTE = 2_000
"""Minute of the replay at the end: more minutes than the venue keeps in memory."""


class StaticMarket:
    """Implements `MarketView`: a market that does not move."""

    status = "TRADING"
    bid, ask, mark = PRICES["SELL"], PRICES["BUY"], PRICES["SELL"]

    def levels(self, side: OrderSide) -> Sequence[tuple[Decimal, Decimal]]:
        return [(PRICES[side], Decimal("1.000"))]


def transactions(plan: VenuePlan, count: int) -> Iterator[Sequence[LedgerEvent]]:
    account_plan, instrument = plan.account, instrument_of(plan.symbol)
    opened = Opened(
        asset=plan.symbol["marginAsset"],
        symbol=instrument.symbol,
        balance=account_plan.balance,
        leverage=account_plan.leverage,
        maker_fee=account_plan.maker_fee,
        taker_fee=account_plan.taker_fee,
        dataset=plan.fingerprint,
        time_ms=START_MS,
    )
    yield [opened]
    account, engine, view = Account.from_opened(opened), MatchingEngine(instrument), StaticMarket()
    for number in range(count - 1):
        side = "SELL" if number & 1 else "BUY"
        params = {"symbol": instrument.symbol, "side": side, "type": "MARKET", "quantity": "0.010"}
        new_order = parse_new_order({**params, "newClientOrderId": f"long-{number}"}, instrument.symbol)
        events = engine.place(account, view, new_order, START_MS + number)
        for event in events:
            account.apply(event)
        yield events


def main(plan_path: str, count_text: str) -> None:
    plan, count = VenuePlan.model_validate_json(Path(plan_path).read_bytes()), int(count_text)
    prev = None
    with open(Path(plan.ledger) / NAME, "xb") as stream:
        for number, events in enumerate(transactions(plan, count), 1):
            row = {
                "seq": number,
                "time": "2026-01-01T00:00:00.000000000Z",
                "minute": number * MINUTE // count,
                "tick": 0,
                "events": [event_fields(event) for event in events],
                "prev": prev,
            }
            line = to_json(row) + b"\n"
            prev = DIGEST_PREFIX + hashlib.sha256(line).hexdigest()
            stream.write(line)


if __name__ == "__main__":
    main(*sys.argv[1:])

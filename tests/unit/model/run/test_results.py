"""Canonical rows from order events: complete, in order, without kept state."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opslab.model.run.results import Results

BASE = {"strategy_id": "S", "instrument_id": "I", "ts_init": 1, "ts_event": 1}


def initialized(name: str, quantity: str = "2", **more: Any) -> dict[str, Any]:
    order = {"order_type": "LIMIT", "order_side": "BUY", "quantity": quantity, "price": "10", "time_in_force": "GTC"}
    return {**BASE, "type": "OrderInitialized", "client_order_id": name, **order, **more}


def event(kind: str, name: str, ts_event: int = 2, **more: Any) -> dict[str, Any]:
    return {**BASE, "type": kind, "client_order_id": name, "ts_event": ts_event, **more}


def fill(name: str, quantity: str, price: str, side: str = "BUY", ts_event: int = 3) -> dict[str, Any]:
    more = {"trade_id": f"T-{ts_event}", "order_side": side, "order_type": "MARKET", "currency": "USDT"}
    more |= {"last_qty": quantity, "last_px": price, "commission": "0.10 USDT", "liquidity_side": "TAKER"}
    return event("OrderFilled", name, ts_event, **more)


def folded(events: list[dict[str, Any]]) -> tuple[dict[str, list[Any]], Results]:
    rows: dict[str, list[Any]] = {"orders": [], "fills": [], "positions": []}
    results = Results(lambda name, row: rows[name].append(row))
    for one in events:
        results.order_event(one)
    results.finish()
    return rows, results


def test_orders_are_sent_in_the_order_of_their_creation() -> None:
    events = [initialized(name) for name in "abc"]
    events += [event("OrderCanceled", "b"), event("OrderRejected", "c", reason="why"), event("OrderCanceled", "a")]
    rows, _ = folded(events)
    assert [(row["client_order_id"], row["status"]) for row in rows["orders"]] == [
        ("a", "CANCELED"), ("b", "CANCELED"), ("c", "REJECTED"),
    ]  # fmt: skip
    assert rows["orders"][2]["reason"] == "why"


def test_a_settled_order_does_not_block_later_orders() -> None:
    sent: list[str] = []
    results = Results(lambda _name, row: sent.append(row["client_order_id"]))
    for one in (initialized("lost"), initialized("b"), event("OrderCanceled", "b")):
        results.order_event(one)
    assert (sent, results.is_unsent("b"), results.is_unsent("b", open_only=True)) == ([], True, False)
    results.settle("lost")
    assert sent == ["lost", "b"]
    assert not results.is_unsent("b")


def test_the_fills_of_all_strategies_may_net_in_one_position() -> None:
    events = [initialized("a"), fill("a", "2", "10"), initialized("b", order_side="SELL", strategy_id="OTHER")]
    rows: list[dict[str, Any]] = []
    results = Results(lambda name, row: rows.append(dict(row)) if name == "positions" else None, one_position=True)
    for one in [*events, {**fill("b", "2", "12", "SELL", ts_event=4), "strategy_id": "OTHER"}]:
        results.order_event(one)
    results.finish()
    assert [(row["strategy_id"], row["side"], row["closing_order_id"]) for row in rows] == [("S", "FLAT", "b")]


def test_fills_make_an_average_and_a_sum_of_commissions() -> None:
    rows, results = folded([initialized("a"), fill("a", "1", "10"), fill("a", "1", "11")])
    (order,) = rows["orders"]
    assert (order["status"], order["filled_qty"], order["avg_px"]) == ("FILLED", "2", "10.5")
    assert order["commissions"] == ["0.20 USDT"]
    assert results.fills == 2


def test_open_orders_and_positions_are_sent_at_the_end() -> None:
    rows, _ = folded([initialized("a"), event("OrderAccepted", "a", venue_order_id="V-1"), fill("a", "0.5", "10")])
    (order,), (position,) = rows["orders"], rows["positions"]
    assert (order["status"], order["venue_order_id"], order["filled_qty"]) == ("PARTIALLY_FILLED", "V-1", "0.5")
    assert (position["side"], position["quantity"], position["ts_closed"]) == ("LONG", "0.5", None)


def test_a_changed_order_keeps_its_last_price_and_quantity() -> None:
    rows, _ = folded([initialized("a"), event("OrderUpdated", "a", quantity="1", price="9"), fill("a", "1", "9")])
    assert (rows["orders"][0]["price"], rows["orders"][0]["status"]) == ("9", "FILLED")


def test_denials_are_counted_by_reason() -> None:
    events = [initialized("a"), event("OrderDenied", "a", reason="TOO_MUCH: max=1"), initialized("b")]
    _, results = folded([*events, event("OrderDenied", "b", reason="TOO_MUCH: max=2")])
    assert results.refused.denied.reasons == {"TOO_MUCH": 2}


def test_rejected_requests_to_change_an_open_order_are_counted_and_those_after_its_end_are_not() -> None:
    kinds = ("OrderCancelRejected", "OrderModifyRejected")
    rejected = [event(kind, "a", reason="code=-2011: order 7") for kind in kinds]
    events = [initialized("a"), initialized("b"), *rejected, event("OrderCanceled", "b"), rejected[1]]
    _, results = folded([*events, event("OrderModifyRejected", "b", reason="late"), fill("a", "2", "9"), *rejected])
    requests = results.refused.requests
    assert (requests.cancels.reasons, requests.cancels.first) == ({"code=-2011: order #": 1}, "a")
    assert (requests.modifications.count, requests.modifications.first) == (2, "a")


def test_an_event_after_the_end_changes_nothing() -> None:
    rows, _ = folded([initialized("a"), event("OrderCanceled", "a"), event("OrderCancelRejected", "a", reason="late")])
    assert [row["status"] for row in rows["orders"]] == ["CANCELED"]


def test_a_fill_over_the_position_closes_it_and_opens_the_other_way() -> None:
    events = [initialized("a", "1"), fill("a", "1", "10", ts_event=3), initialized("b", "3", order_side="SELL")]
    rows, _ = folded([*events, fill("b", "3", "12", "SELL", ts_event=4)])
    first, second = rows["positions"]
    assert (first["entry"], first["side"], first["avg_px_open"], first["avg_px_close"]) == ("BUY", "FLAT", "10", "12")
    assert (first["closing_order_id"], second["opening_order_id"]) == ("b", "b")
    assert (second["side"], second["quantity"], second["avg_px_open"]) == ("SHORT", "2", "12")


@given(st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 5), st.integers(1, 9)), max_size=30))
def test_positions_add_up_to_the_fills(moves: list[tuple[str, int, int]]) -> None:
    events = []
    for number, (side, quantity, price) in enumerate(moves, 3):
        events += [
            initialized(str(number), str(quantity), order_side=side),
            fill(str(number), str(quantity), str(price), side, number),
        ]
    rows, _ = folded(events)
    bought = sum(Decimal(row["buy_qty"]) for row in rows["positions"])
    sold = sum(Decimal(row["sell_qty"]) for row in rows["positions"])
    assert bought == sum(quantity for side, quantity, _ in moves if side == "BUY")
    assert sold == sum(quantity for side, quantity, _ in moves if side == "SELL")
    assert all(row["buy_qty"] == row["sell_qty"] for row in rows["positions"][:-1])
    assert len(rows["fills"]) == len(rows["orders"]) == len(moves)


def test_a_released_order_is_one_order_with_the_strategys_type_and_prices() -> None:
    stop: dict[str, Any] = {"order_type": "STOP_MARKET", "trigger_price": "9", "price": None, "order_side": "SELL"}
    events = [initialized("a", **stop), event("OrderEmulated", "a"), event("OrderUpdated", "a", trigger_price="8")]
    events += [initialized("a", order_type="MARKET", price=None, order_side="SELL"), event("OrderReleased", "a")]
    rows, results = folded(events)
    (row,) = rows["orders"]
    assert (row["status"], row["type"], row["trigger_price"], row["released_as"]) == (
        "RELEASED",
        "STOP_MARKET",
        "8",
        "MARKET",
    )
    assert (results.refused.orders, results.refused.protective_orders) == (1, 1)
    assert (results.unsent.emulated.count, results.unsent.released) == (1, 1)
    rows, _ = folded([*events, event("OrderSubmitted", "a"), fill("a", "2", "8", "SELL")])
    assert (rows["orders"][0]["status"], rows["fills"][0]["order_type"]) == ("FILLED", "MARKET")


def test_orders_that_were_never_submitted_are_counted_and_those_that_wait_for_their_parent_are_not() -> None:
    events = [initialized("algo"), initialized("child", parent_order_id="p"), initialized("emulated")]
    _, results = folded([*events, event("OrderEmulated", "emulated")])
    unsubmitted = results.unsent.never_submitted
    assert (unsubmitted.count, unsubmitted.first) == (1, "algo")


def test_an_open_order_with_a_request_under_way_is_pending() -> None:
    events = [initialized("a"), event("OrderAccepted", "a"), event("OrderPendingCancel", "a")]
    rows, _ = folded(events)
    assert rows["orders"][0]["status"] == "PENDING_CANCEL"


def test_an_outcome_counts_at_once_although_the_row_waits_for_an_older_order() -> None:
    rows, results = folded(
        [
            initialized("resting"),
            initialized("a"),
            event("OrderCanceled", "a"),
            initialized("b"),
            fill("b", "2", "10"),
            event("OrderCancelRejected", "b"),
        ]
    )
    assert results.outcomes == {"CANCELED": 1, "FILLED": 1}
    assert [row["client_order_id"] for row in rows["orders"]] == ["resting", "a", "b"]


def test_orders_of_others_have_no_outcome() -> None:
    results = Results(lambda _name, _row: None, others={"VENUE"})
    for name, strategy in (("a", "VENUE"), ("b", "LAB-001")):
        results.order_event(initialized(name, strategy_id=strategy))
        results.order_event(event("OrderCanceled", name))
    assert results.outcomes == {"CANCELED": 1}

"""Results of a paper run are its venue's ledger: every order, every fill, the position as it ends."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from opslab.errors import Corrupt
from opslab.model.messages.ledger_events import LedgerEvent, event_fields
from opslab.model.run.run_counters import OrderCounters
from opslab.ports import Moment
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.runs.paper.results import orders_from_journal, send_rows
from opslab.store.runs.engine_order_log import EngineOrderLog
from opslab.store.runs.journal import Journal
from opslab.store.venues.ledger import LedgerFile
from opslab.system import SystemClock
from opslab.venue.api_error import ApiError
from tests.fakes.account_at_price import INSTRUMENT, NOW_MS, Scene

Row = dict[str, Any]
Rows = dict[str, list[Row]]
NS = 1_000_000


def order(name: str, ts_ms: int = NOW_MS, **more: Any) -> Row:
    terms = {"order_side": "BUY", "order_type": "MARKET", "quantity": "0.010", "time_in_force": "GTC"}
    return {"type": "OrderInitialized", "client_order_id": name, "strategy_id": "LAB-001", "ts_event": ts_ms * NS} | (
        terms | more
    )


def said(kind: str, name: str, ts_ms: int = NOW_MS, **more: Any) -> Row:
    return {"type": kind, "client_order_id": name, "strategy_id": "LAB-001", "ts_event": ts_ms * NS, **more}


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., tuple[Rows, PaperCounts]]:
    """Of a scene's ledger and what engines told."""

    def make(scene: Scene, *told: Row) -> tuple[Rows, PaperCounts]:
        return of_ledger(tmp_path, scene.ledger, told)

    return make


def of_ledger(folder: Path, transactions: list[list[LedgerEvent]], told: Any) -> tuple[Rows, PaperCounts]:
    with LedgerFile(folder / "ledger", SystemClock()) as ledger:
        list(ledger.history())
        for events in transactions:
            ledger.append([event_fields(event) for event in events], Moment(1, 0))
    rows: Rows = {"orders": [], "fills": [], "positions": []}
    with EngineOrderLog(folder / "work") as orders:
        for payload in told:
            orders.order_event(payload)
        counts = send_rows(folder / "ledger", orders, lambda name, row: rows[name].append(dict(row)), INSTRUMENT)
    return rows, counts


def test_an_order_has_the_fields_and_spelling_of_a_backtests(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.01", newClientOrderId="x-aHRE4BCj-T04asLHBvvAy6z")
    name = "O-20261121-204553-001-001-1"
    rows, counts = results(
        scene, order(name, NOW_MS - 5), said("OrderSubmitted", name), said("OrderAccepted", name, venue_order_id="1")
    )
    assert rows["orders"] == [
        {
            "client_order_id": name,
            "venue_order_id": "1",
            "strategy_id": "LAB-001",
            "instrument_id": "BTCUSDT-PERP.BINANCE",
            "type": "MARKET",
            "side": "BUY",
            "quantity": "0.010",
            "price": None,
            "trigger_price": None,
            "time_in_force": "GTC",
            "is_post_only": False,
            "is_reduce_only": False,
            "status": "FILLED",
            "filled_qty": "0.01",
            "avg_px": "30000.1",
            "commissions": ["0.15000050 USDT"],
            "ts_init": (NOW_MS - 5) * NS,
            "ts_last": NOW_MS * NS,
        }
    ]
    assert rows["fills"] == [
        {
            "trade_id": "1",
            "client_order_id": name,
            "venue_order_id": "1",
            "strategy_id": "LAB-001",
            "instrument_id": "BTCUSDT-PERP.BINANCE",
            "order_side": "BUY",
            "order_type": "MARKET",
            "last_qty": "0.010",
            "last_px": "30000.10",
            "currency": "USDT",
            "commission": "0.15000050 USDT",
            "liquidity_side": "TAKER",
            "ts_event": NOW_MS * NS,
        }
    ]
    (position,) = rows["positions"]
    assert (position["side"], position["quantity"], position["opening_order_id"]) == ("LONG", "0.01", name)
    assert (counts.orders_submitted, counts.fills_count, counts.unknown) == (1, 1, 0)


def test_an_order_that_rests_only_is_gtc_with_a_flag(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", "29000.0", timeInForce="GTX", newClientOrderId="a")
    rows, _ = results(scene)
    (row,) = rows["orders"]
    assert (row["time_in_force"], row["is_post_only"], row["price"], row["status"]) == (
        "GTC",
        True,
        "29000.00",
        "ACCEPTED",
    )


def test_an_order_that_nobody_told_of_is_there_and_says_so(results: Any) -> None:
    """Its engine died first. The adapter's spelling gives the engine's id all the same."""
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="x-aHRE4BCj-T04asLHBvvAy70")
    scene.place("BUY", "0.010", newClientOrderId="somebody-else")
    rows, counts = results(scene)
    assert [(row["client_order_id"], row["strategy_id"]) for row in rows["orders"]] == [
        ("O-20261121-204553-001-001-2", "UNKNOWN"),
        ("somebody-else", "EXTERNAL"),
    ]
    assert (counts.unknown, counts.orders_submitted, counts.fills_count) == (1, 1, 1)
    assert (counts.external, counts.external_fills) == (1, 1)


def test_an_external_order_is_not_the_strategys_though_an_engine_assigned_it_to_the_strategy(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="x-aHRE4BCj-T04asLHBvvAy6z")
    scene.place("BUY", "0.020", newClientOrderId="venue_2")
    scene.place("SELL", "0.010", "31000.0", newClientOrderId="venue_3")
    scene.cancel(3)
    own, foreign, resting = "O-20261121-204553-001-001-1", "venue_2", "venue_3"
    rows, counts = results(
        scene,
        order(own),
        order(foreign, reconciliation=True),
        said("OrderAccepted", foreign, venue_order_id="2"),
        order(resting, reconciliation=True),
        said("OrderAccepted", resting, venue_order_id="3"),
    )
    assert [row["strategy_id"] for row in rows["orders"]] == ["LAB-001", "EXTERNAL", "EXTERNAL"]
    assert [row["strategy_id"] for row in rows["fills"]] == ["LAB-001", "EXTERNAL"]
    assert (counts.orders_submitted, counts.fills_count, counts.orders_canceled, counts.unknown) == (1, 1, 0, 0)
    assert (counts.external, counts.external_fills) == (2, 1)


def test_the_venues_own_order_keeps_its_id_and_closes_the_strategys_position(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="mine")
    scene.place("SELL", "0.010", newClientOrderId="opslab-flatten-1", reduceOnly="true")
    rows, counts = results(scene, order("mine"), said("OrderAccepted", "mine", venue_order_id="1"))
    assert [row["strategy_id"] for row in rows["orders"]] == ["LAB-001", "VENUE"]
    (position,) = rows["positions"]
    assert (position["side"], position["strategy_id"], position["closing_order_id"]) == (
        "FLAT",
        "LAB-001",
        "opslab-flatten-1",
    )
    assert (counts.by_venue, counts.unknown, counts.orders_submitted) == (1, 0, 1)


def test_orders_that_never_reached_the_venue_stand_where_they_were_made(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="first")
    scene.now_ms += 100
    scene.place("SELL", "0.010", newClientOrderId="last")
    why = "NOTIONAL: too much"
    told = [
        order("first"),
        said("OrderAccepted", "first", venue_order_id="1"),
        order("denied", NOW_MS + 10, order_type="LIMIT", price="1.00", post_only=True),
        said("OrderDenied", "denied", NOW_MS + 11, reason=why),
        order("refused", NOW_MS + 20),
        said("OrderSubmitted", "refused", NOW_MS + 20),
        said("OrderRejected", "refused", NOW_MS + 25, reason="-2019"),
        order("lost", NOW_MS + 30),
        said("OrderSubmitted", "lost", NOW_MS + 31),
        order("last", NOW_MS + 99),
        said("OrderAccepted", "last", venue_order_id="2"),
        order("unsent", NOW_MS + 200),
    ]
    rows, counts = results(scene, *told)
    assert [(row["client_order_id"], row["status"], row["venue_order_id"]) for row in rows["orders"]] == [
        ("first", "FILLED", "1"),
        ("denied", "DENIED", None),
        ("refused", "REJECTED", None),
        ("lost", "SUBMITTED", None),
        ("last", "FILLED", "2"),
        ("unsent", "INITIALIZED", None),
    ]
    denied = rows["orders"][1]
    assert (denied["is_post_only"], denied["price"], denied["reason"]) == (True, "1.00", "NOTIONAL: too much")
    assert counts == PaperCounts(
        orders_submitted=4,
        fills_count=2,
        orders_denied=1,
        orders_rejected=1,
        orders_filled=2,
        reported=OrderCounters(submitted=2, denied=1, rejected=1),
        lost=1,
        first_lost="lost",
        refused=counts.refused,
        never_submitted=counts.never_submitted,
    )
    assert (counts.never_submitted.count, counts.never_submitted.first) == (1, "unsent")
    assert (counts.refused.denied.reasons, counts.refused.denied.first) == ({"NOTIONAL": 1}, "denied")
    assert (counts.refused.rejected.reasons, counts.refused.rejected.first) == ({"-2019": 1}, "refused")
    assert (counts.refused.orders, counts.refused.all.count) == (6, 2)
    assert counts.counters(bars_seen=7, actions=1).model_dump() == {
        "strategy_registered": 1,
        "bars_seen": 7,
        "deterministic_action_triggered": 1,
        "orders_submitted": 4,
        "fills_count": 2,
        "orders_denied": 1,
        "orders_rejected": 1,
        "orders_canceled": 0,
    }


def test_an_order_that_its_engine_gave_up_and_the_venue_took_is_one_order(results: Any) -> None:
    """The answer was lost: the engine said rejected, and never heard the venue's number."""
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="x-aHRE4BCj-T04asLHBvvAy6z")
    name = "O-20261121-204553-001-001-1"
    rows, counts = results(
        scene, order(name), said("OrderSubmitted", name), said("OrderRejected", name, reason="INFLIGHT_TIMEOUT")
    )
    assert [(row["client_order_id"], row["status"], row["strategy_id"]) for row in rows["orders"]] == [
        (name, "FILLED", "LAB-001")
    ]
    assert (counts.orders_rejected, counts.unknown, counts.orders_submitted) == (0, 0, 1)
    assert counts.orders() == OrderCounters(submitted=1, rejected=1, filled=1, fills=1), "no count falls at the end"


def test_orders_of_the_venue_and_of_others_have_no_outcome(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="x-aHRE4BCj-Rmine")
    scene.place("BUY", "0.010", newClientOrderId="of-another")
    scene.place("SELL", "0.020", newClientOrderId="opslab-flatten-1", reduceOnly="true")
    _, counts = results(scene, order("mine"), said("OrderSubmitted", "mine"))
    assert (counts.by_venue, counts.external) == (1, 1)
    assert counts.orders() == OrderCounters(submitted=1, filled=1, fills=2), "its own fill, and that of the venue"


def test_what_a_later_engine_says_of_an_order_changes_nothing(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", "29000.0", newClientOrderId="a")
    again = order("a", NOW_MS + 9_000, strategy_id="EXTERNAL", reconciliation=True)
    rows, _ = results(scene, order("a", NOW_MS - 3), said("OrderAccepted", "a", venue_order_id="1"), again)
    assert [(row["strategy_id"], row["ts_init"]) for row in rows["orders"]] == [("LAB-001", (NOW_MS - 3) * NS)]


def test_an_order_first_told_of_by_a_later_engine_was_made_when_it_was_accepted(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", "29000.0", newClientOrderId="x-aHRE4BCj-T04asLHBvvAy6z")
    rows, _ = results(scene, order("O-20261121-204553-001-001-1", NOW_MS + 9_000, reconciliation=True))
    assert [(row["strategy_id"], row["ts_init"]) for row in rows["orders"]] == [("LAB-001", NOW_MS * NS)]


def test_a_changed_order_an_expired_and_a_canceled_one(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", "29000.0", newClientOrderId="changed")
    scene.modify(1, "BUY", "0.008", "29001.0")
    scene.place("BUY", "0.010", "29000.0", timeInForce="IOC", newClientOrderId="expired")
    scene.place("SELL", "0.010", "31000.0", newClientOrderId="canceled")
    scene.cancel(3)
    rows, counts = results(scene, order("canceled"))
    assert [(row["client_order_id"], row["status"], row["quantity"], row["price"]) for row in rows["orders"]] == [
        ("changed", "ACCEPTED", "0.008", "29001.00"),
        ("expired", "EXPIRED", "0.010", "29000.00"),
        ("canceled", "CANCELED", "0.010", "31000.00"),
    ]
    assert counts.orders_canceled == 1


def test_rejected_requests_count_if_the_ledger_has_their_order_open_at_that_time(results: Any) -> None:
    scene = Scene()
    for name in ("open", "early", "late"):
        scene.place("BUY", "0.010", "29000.0", newClientOrderId=name)
    scene.cancel(2)
    scene.cancel(3)
    told = [
        *(order(name) for name in ("open", "early", "late", "lost")),
        said("OrderCancelRejected", "open", NOW_MS + 5, reason="code=-2011: Unknown order sent."),
        said("OrderModifyRejected", "early", NOW_MS - 1, reason="code=-4016: too high"),
        said("OrderCancelRejected", "late", NOW_MS, reason="code=-2011: Unknown order sent."),
        said("OrderCancelRejected", "lost", NOW_MS, reason="code=-2011: Unknown order sent."),
    ]
    _, counts = results(scene, *told)
    requests = counts.refused.requests
    assert (requests.cancels.reasons, requests.cancels.first) == ({"code=-2011: Unknown order sent.": 1}, "open")
    assert (requests.modifications.count, requests.modifications.first) == (1, "early")


STOP: dict[str, Any] = {
    "order_type": "STOP_MARKET",
    "order_side": "SELL",
    "trigger_price": "29000.00",
    "emulation_trigger": "BID_ASK",
}


def test_an_emulated_order_that_never_left_its_engine_has_its_last_state_and_terms(results: Any) -> None:
    rows, counts = results(
        Scene(),
        order("left", **STOP),
        said("OrderEmulated", "left"),
        order("canceled", **STOP),
        said("OrderEmulated", "canceled"),
        said("OrderUpdated", "canceled", quantity="0.020", trigger_price="28000.00"),
        said("OrderCanceled", "canceled", NOW_MS + 7),
        order("denied", **STOP),
        said("OrderEmulated", "denied"),
        order("denied", order_type="MARKET", order_side="SELL"),
        said("OrderReleased", "denied"),
        said("OrderDenied", "denied", reason="RATE_LIMIT_EXCEEDED"),
    )
    terms = ("client_order_id", "status", "type", "quantity", "trigger_price")
    assert [tuple(row[name] for name in terms) for row in rows["orders"]] == [
        ("left", "EMULATED", "STOP_MARKET", "0.010", "29000.00"),
        ("canceled", "CANCELED", "STOP_MARKET", "0.020", "28000.00"),
        ("denied", "DENIED", "STOP_MARKET", "0.010", "29000.00"),
    ]
    assert ["released_as" in row for row in rows["orders"]] == [False, False, True]
    assert rows["orders"][1]["ts_last"] == (NOW_MS + 7) * NS
    assert (counts.orders_submitted, counts.orders_canceled, counts.orders_denied) == (0, 1, 1)
    assert (counts.lost, counts.never_submitted.count, counts.refused.protective.count) == (0, 0, 1)


def test_a_released_order_keeps_the_type_and_prices_of_the_strategy(results: Any) -> None:
    scene = Scene()
    scene.place("SELL", "0.010", newClientOrderId="stop")
    scene.place("SELL", "0.010", "31000.0", newClientOrderId="limit")
    scene.modify(2, "SELL", "0.010", "31001.0")
    stop_limit = {**STOP, "order_type": "STOP_LIMIT", "price": "30900.00"}
    told = []
    for name, number, terms, released in (("stop", "1", STOP, "MARKET"), ("limit", "2", stop_limit, "LIMIT")):
        told += [order(name, NOW_MS - 9, **terms)]
        told += [said("OrderEmulated", name)] if name == "limit" else []  # the trigger of the other is reached at once
        told += [order(name, order_type=released, order_side="SELL"), said("OrderReleased", name)]
        told += [said("OrderSubmitted", name), said("OrderAccepted", name, venue_order_id=number)]
    rows, counts = results(scene, *told)
    names = ("client_order_id", "status", "type", "price", "trigger_price", "released_as", "ts_init")
    assert [tuple(row[name] for name in names) for row in rows["orders"]] == [
        ("stop", "FILLED", "STOP_MARKET", None, "29000.00", "MARKET", (NOW_MS - 9) * NS),
        ("limit", "ACCEPTED", "STOP_LIMIT", "31001.00", "29000.00", "LIMIT", (NOW_MS - 9) * NS),
    ]
    assert rows["fills"][0]["order_type"] == "MARKET"
    assert (counts.orders_submitted, counts.refused.orders, counts.never_submitted.count) == (2, 2, 0)


def test_a_lost_order_may_be_one_that_the_strategy_wanted_to_cancel(results: Any) -> None:
    rows, counts = results(Scene(), order("a"), said("OrderSubmitted", "a"), said("OrderPendingCancel", "a"))
    assert [row["status"] for row in rows["orders"]] == ["PENDING_CANCEL"]
    assert (counts.orders_submitted, counts.lost, counts.first_lost) == (1, 1, "a")


def test_an_id_that_is_used_again_loses_no_order(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", "29000.0", newClientOrderId="rests")
    scene.place("BUY", "0.010", newClientOrderId="again")
    scene.place("SELL", "0.010", newClientOrderId="again")
    rows, counts = results(scene, order("again"), said("OrderAccepted", "again", venue_order_id="2"))
    assert [(row["client_order_id"], row["strategy_id"]) for row in rows["orders"]] == [
        ("rests", "EXTERNAL"),
        ("again", "LAB-001"),
        ("again#3", "EXTERNAL"),
    ]
    assert (counts.fills_count, counts.external_fills, len(rows["fills"])) == (1, 1, 2)


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_the_ledger(tmp_path: Path, seed: int) -> None:
    """Whatever happens: the same fills, every order once, the position where the account has it."""
    scene, dice = Scene(), random.Random(seed)
    for number in range(120):
        _step(scene, dice, number)
        scene.now_ms += dice.randint(0, 40)
    events = scene.events()
    names = [event.client_order_id for event in events if event.kind == "accepted"]
    told = [order(name) for name in names if dice.random() < 0.7]
    rows, counts = of_ledger(tmp_path, scene.ledger, told)
    fills = [event for event in events if event.kind == "filled"]
    assert [
        (row["trade_id"], Decimal(row["last_px"]), Decimal(row["last_qty"]), row["commission"]) for row in rows["fills"]
    ] == [(str(fill.trade_id), fill.price, fill.quantity, f"{fill.fee:f} USDT") for fill in fills]
    assert [row["venue_order_id"] for row in rows["orders"]] == [
        str(event.order_id) for event in events if event.kind == "accepted"
    ]
    assert {row["venue_order_id"] for row in rows["orders"] if row["status"] in ("ACCEPTED", "PARTIALLY_FILLED")} == {
        str(number) for number in scene.account.open
    }
    held = sum((signed(row) for row in rows["positions"]), Decimal(0))
    assert held == scene.account.holding.position
    assert sum(Decimal(row["buy_qty"]) for row in rows["positions"]) == sum(
        Decimal(row["last_qty"]) for row in rows["fills"] if row["order_side"] == "BUY"
    )
    assert counts.fills_count + counts.external_fills == len(fills)
    external = {row["venue_order_id"] for row in rows["orders"] if row["strategy_id"] == "EXTERNAL"}
    assert counts.external_fills == sum(str(fill.order_id) in external for fill in fills)
    canceled = [str(event.order_id) for event in events if event.kind == "canceled"]
    assert counts.orders_canceled == sum(number not in external for number in canceled)
    assert (counts.external, counts.unknown) == (len(names) - len(told), 0)


def signed(row: Row) -> Decimal:
    return {"LONG": 1, "SHORT": -1, "FLAT": 0}[row["side"]] * Decimal(row["quantity"])


def _step(scene: Scene, dice: random.Random, number: int) -> None:
    side, size = dice.choice(("BUY", "SELL")), f"{dice.randint(3, 40) / 1000:.3f}"
    way = dice.random()
    try:
        if way < 0.35:
            scene.place(side, size, newClientOrderId=f"a{number}")
        elif way < 0.7:
            off = dice.choice((-50, -5, 0, 5, 50)) / 10
            scene.place(side, size, f"{30000 + off:.1f}", newClientOrderId=f"a{number}")
        elif way < 0.75:
            scene.place(side, size, newClientOrderId=f"a{number}", reduceOnly="true")
        elif way < 0.85 and scene.account.open:
            scene.cancel(dice.choice(list(scene.account.open)))
        elif way < 0.88:
            scene.cancel_all()
        else:
            bid = 30000 + dice.randint(-80, 80) / 10
            scene.tick(f"{bid:.1f}", f"{bid + 0.1:.1f}", f"{bid:.1f}", "0.020")
    except ApiError:
        pass


def test_what_was_told_outlives_the_one_who_heard_it(tmp_path: Path) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="a")
    first = EngineOrderLog(tmp_path / "work")
    first.order_event(order("a"))  # and its control is killed
    rows, _ = of_ledger(tmp_path, scene.ledger, [])
    assert rows["orders"][0]["strategy_id"] == "LAB-001"


def test_a_journal_has_what_was_told(tmp_path: Path) -> None:
    with Journal(tmp_path, SystemClock()) as journal:
        journal.append("run_started", {})
        journal.append_many([("order_event", order("a")), ("order_event", said("OrderDenied", "a", reason="WHY"))])
    with EngineOrderLog(tmp_path / "work") as told:
        orders_from_journal(tmp_path, told)
        (found,) = told.never_at_venue()
    assert (found.client_order_id, found.last_known, found.reason) == ("a", "DENIED", "WHY")


def test_rows_are_sent_as_the_ledger_is_read(tmp_path: Path) -> None:
    """So that memory does not grow: an order that was lost on the way holds up no other."""
    scene = Scene()
    for number in range(1, 4):
        scene.now_ms += 100
        scene.place("BUY", "0.010", newClientOrderId=f"a{number}")
    sent: list[tuple[str, str]] = []
    of_ledger(tmp_path / "first", scene.ledger, [])
    with EngineOrderLog(tmp_path / "work") as told:
        told.order_event(order("lost"))
        send_rows(
            tmp_path / "first" / "ledger", told, lambda name, row: sent.append((name, row["client_order_id"]))
            if name != "positions" else None, INSTRUMENT,
        )  # fmt: skip
    assert sent == [("orders", "lost")] + [(name, f"a{number}") for number in (1, 2, 3) for name in ("fills", "orders")]


def test_a_broken_ledger_is_corrupt_and_says_where(tmp_path: Path) -> None:
    with LedgerFile(tmp_path / "ledger", SystemClock()) as ledger:
        list(ledger.history())
        ledger.append([{"kind": "accepted", "order_id": "no number"}], Moment(0, 0))
    with pytest.raises(Corrupt, match="line 1 has no valid account event"):
        of_ledger(tmp_path, [], [])


def test_rows_are_ready_for_json(results: Any) -> None:
    scene = Scene()
    scene.place("BUY", "0.010", newClientOrderId="a")
    rows, _ = results(scene)
    json.dumps(rows)

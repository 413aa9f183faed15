"""kill -9 of the venue while clients place, change and cancel orders as quickly as they can.

What was acknowledged, in an answer or on the user stream, is in the ledger; what is in the ledger was asked for; and a
venue that is started again serves that account and goes on with the replay, without a tick or a candle told twice.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

from opslab.model.messages.ledger_events import (
    Accepted,
    Amended,
    Canceled,
    Expired,
    Filled,
    LedgerEvent,
    LeverageSet,
    Opened,
)
from tests.breaking.context import ExperimentContext
from tests.breaking.trial import Attempt, Trial
from tests.drivers.trading_clients import (
    Hand,
    Memory,
    VenueOptions,
    at_work,
    by_market,
    by_rest,
    by_socket,
    by_user_stream,
)
from tests.drivers.venue_client import VenueChild, VenueClient
from tests.drivers.venue_process import SAMPLE
from tests.oracles.ledger_state import Standing, standing

FULL = 500
KILLS = 2
"""Lives of the venue that end so in each trial."""
_SPEEDS = (120.0, 600.0, 3000.0)
_TICKS = (10, 30, 60)
_WORK_SECONDS = 0.7
_MOST_ASKED = 250
_START_SECONDS = 0.5
_END_SECONDS = 20.0
_STREAMS = ("btcusdt@aggTrade", "btcusdt@kline_1m")

Ledger = Sequence[Sequence[LedgerEvent]]


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    context.prepare_dataset(SAMPLE)
    for number in range(context.trial_count(FULL)):
        yield Attempt(f"venue-ledger-{number}", partial(_trial, context=context), 120.0)


def _trial(trial: Trial, context: ExperimentContext) -> None:
    rng, memory = trial.rng, Memory()
    speed, ticks = rng.choice(_SPEEDS), rng.choice(_TICKS)
    trial.observe("speed", f"{speed:.0f}x")
    venue = VenueChild(context.candles, trial.folder, speed=speed, pace="clock", ticks=ticks)
    with venue:
        before: Ledger = ()
        for life in range(KILLS):
            _hammer(trial, venue, memory, life)
            ledger = venue.transactions()
            trial.claim(list(ledger[: len(before)]) == list(before), "the ledger's beginning is not what it was")
            _claim_told_is_kept(trial, memory, ledger)
            _claim_kept_was_asked(trial, memory, ledger)
            found = venue.audit()
            trial.claim(found.proven, f"the audit finds {[finding.text() for finding in found.findings]}")
            if rng.random() < 0.25:
                _kill_at_start(trial, venue)
            moment = _place_of_replay(venue)
            venue.start()
            _claim_serves(trial, venue, venue.transactions(), memory)
            trial.claim(venue.transactions() == ledger, "to start again changed the ledger")
            before = ledger
            _claim_goes_on(trial, venue, memory, moment, ticks)
        venue.stop()
        trial.claim(venue.audit().proven, "the audit finds something after a clean end")
        _claim_candles(trial, venue, memory)
    trial.claim(not memory.faults, f"clients met with what they did not expect: {memory.faults}")
    bugs = [entry for entry in venue.log if entry.get("log", {}).get("event") == "bug"]
    trial.claim(not bugs, f"the venue had bugs: {bugs}")


# A life, and its end.


def _hammer(trial: Trial, venue: VenueChild, memory: Memory, life: int) -> None:
    """Let clients work; kill the venue at a moment of the clock, or at a request; when it is dead, all of them end."""
    rng = trial.rng
    now = threading.Event()
    first = len(memory.asked)
    with VenueClient(venue.endpoints) as client, VenueClient(venue.endpoints) as other:
        memory.price = float(client.get("/fapi/v1/ticker/price", symbol="BTCUSDT")["price"])
        works = [by_user_stream(client.user_stream(), memory), by_market(client.stream(*_STREAMS), memory)]
        works += [
            by_rest(client, Hand(memory, f"r{life}", rng.randrange(1 << 30))),
            by_socket(other, Hand(memory, f"s{life}", rng.randrange(1 << 30))),
        ]
        if rng.random() < 0.5:
            at = first + rng.randint(1, _MOST_ASKED)
            memory.on_ask = lambda count: now.set() if count >= at else None
            trial.observe("killed", "at a request")
            seconds = _END_SECONDS
        else:
            memory.on_ask = lambda _count: None
            trial.observe("killed", "at any moment")
            seconds = rng.uniform(0, _WORK_SECONDS)
        threads = at_work(memory, *works)
        now.wait(seconds)
        venue.kill()
        for thread in threads:
            thread.join(_END_SECONDS)
        trial.claim(not any(thread.is_alive() for thread in threads), "a client waits for a venue that is dead")
    mine = memory.asked[first:]
    trial.observe("asked in a life", f"up to {-(-len(mine) // 100) * 100}")
    trial.observe("torn end", "yes" if _is_torn(venue) else "no")
    kept = {e.client_order_id for events in venue.transactions() for e in events if isinstance(e, Accepted)}
    for one in mine:
        if one.what == "place" and one.answer is None and one.refusal is None:
            name = one.params["newClientOrderId"]
            trial.observe("orders without an answer", "in the ledger" if name in kept else "never taken")


def _kill_at_start(trial: Trial, venue: VenueChild) -> None:
    """Before it listens, as a rule."""
    seconds = trial.rng.uniform(0, _START_SECONDS)

    def kill() -> None:
        while True:
            with suppress(AssertionError):
                pid = venue.pid
                break
            time.sleep(0.001)
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    try:
        venue.start()
        trial.observe("killed at start", "once it listened")
    except AssertionError:
        trial.observe("killed at start", "before it listened")
    killing.join()
    with suppress(AssertionError):
        venue.kill()


def _is_torn(venue: VenueChild) -> bool:
    data = (venue.ledger / "ledger.jsonl").read_bytes()
    return not data.endswith(b"\n")


def _place_of_replay(venue: VenueChild) -> tuple[int, int]:
    """(minute, tick) as noted beside the ledger."""
    minute, tick = (venue.ledger / "position").read_text().split()
    return int(minute), int(tick)


# What must hold.


def _claim_told_is_kept(trial: Trial, memory: Memory, ledger: Ledger) -> None:
    events = [event for transaction in ledger for event in transaction]
    stands = standing(events)
    accepted = {event.client_order_id: event for event in events if isinstance(event, Accepted)}
    amended = {(e.order_id, e.quantity, e.price) for e in events if isinstance(e, Amended)}
    levers = [event.leverage for event in events if isinstance(event, LeverageSet)]
    for asked in memory.asked:
        if asked.answer is None:
            continue
        answer = asked.answer
        order = stands.orders.get(answer.get("orderId"))
        match asked.what:
            case "place":
                placed = accepted.get(asked.params["newClientOrderId"])
                holds = placed is not None and placed.order_id == answer["orderId"] and _is_asked(placed, asked.params)
                holds = holds and order is not None and order["filled"] >= Decimal(answer["executedQty"])
                if answer["status"] in ("FILLED", "EXPIRED"):
                    holds = holds and order is not None and order["status"] == answer["status"]
            case "modify" if answer["status"] != "CANCELED":
                terms = (answer["orderId"], Decimal(asked.params["quantity"]), Decimal(asked.params["price"]))
                holds = terms in amended
            case "modify" | "cancel":
                holds = order is not None and order["status"] == "CANCELED"
            case "cancel all":
                holds = not asked.known & stands.open.keys()
            case _:
                holds = answer["leverage"] in (*levers, 10)
        trial.claim(holds, f"acknowledged, and not in the ledger: {asked}, {order}")
    for message in memory.told:
        trial.claim(_is_kept(message, stands, amended), f"told, and not in the ledger: {message}")


def _is_kept(message: dict[str, Any], stands: Standing, amended: set[tuple[int, Decimal, Decimal]]) -> bool:
    """Whether the ledger has what the user stream said."""
    if message["e"] == "ACCOUNT_UPDATE":
        wallet = Decimal(message["a"]["B"][0]["wb"])
        return any(trade.wallet == wallet for trade in stands.trades.values())
    if message["e"] != "ORDER_TRADE_UPDATE":
        return True
    row = message["o"]
    order = stands.orders.get(row["i"])
    if order is None or order["client_order_id"] != row["c"]:
        return False
    match row["x"]:
        case "TRADE":
            trade = stands.trades.get(row["t"])
            told = [Decimal(row[name]) for name in ("L", "l", "n", "rp")]
            return trade is not None and told == [trade.price, trade.quantity, trade.fee, trade.realized]
        case "AMENDMENT":
            return (row["i"], Decimal(row["q"]), Decimal(row["p"])) in amended
        case "CANCELED" | "EXPIRED":
            return bool(order["status"] == row["x"])
        case _:
            return bool(row["x"] == "NEW")


def _is_asked(order: Accepted, params: dict[str, Any]) -> bool:
    """Whether an order was accepted as it was asked for."""
    price = Decimal(params["price"]) if "price" in params else None
    asked = (params["newClientOrderId"], params["side"], params["type"], params.get("timeInForce", "GTC"))
    return (
        (order.client_order_id, order.side, order.type, order.time_in_force) == asked
        and (order.quantity, order.price) == (Decimal(params["quantity"]), price)
        and order.reduce_only == ("reduceOnly" in params)
    )


def _claim_kept_was_asked(trial: Trial, memory: Memory, ledger: Ledger) -> None:
    places = {one.params["newClientOrderId"]: one for one in memory.asked if one.what == "place"}
    by_what: dict[str, list[VenueOptions]] = {}
    for one in memory.asked:
        by_what.setdefault(one.what, []).append(one)
    ends = {one.params["orderId"] for what in ("cancel", "modify") for one in by_what.get(what, ())}
    changes = {
        (one.params["orderId"], Decimal(one.params["quantity"]), Decimal(one.params["price"]))
        for one in by_what.get("modify", ())
    }
    orders: dict[int, Accepted] = {}
    names: set[str] = set()
    for transaction in ledger:
        made = {event.order_id for event in transaction if isinstance(event, Accepted | Amended)}
        for event in transaction:
            match event:
                case Accepted():
                    asked = places.get(event.client_order_id)
                    holds = asked is not None and asked.refusal is None and _is_asked(event, asked.params)
                    holds = holds and event.client_order_id not in names
                    names.add(event.client_order_id)
                    orders[event.order_id] = event
                case Amended():
                    holds = (event.order_id, event.quantity, event.price) in changes
                case Canceled():
                    holds = event.order_id in ends or "cancel all" in by_what
                case Expired():
                    order = orders[event.order_id]
                    holds = order.type == "MARKET" or order.time_in_force in ("IOC", "FOK") or order.reduce_only
                case Filled():  # by the market, or by the request that made or changed the order
                    order = orders[event.order_id]
                    holds = event.maker != (event.order_id in made)
                    holds = holds and not (event.maker and order.time_in_force in ("IOC", "FOK"))
                case LeverageSet():
                    holds = any(one.params["leverage"] == event.leverage for one in by_what.get("leverage", ()))
                case Opened():
                    holds = event is ledger[0][0]
            trial.claim(holds, f"in the ledger, and nobody asked for it: {event}")


def _claim_serves(trial: Trial, venue: VenueChild, ledger: Ledger, memory: Memory) -> None:
    """The account is that of the ledger; the market stands still as long as nobody asks for candles."""
    stands = standing(event for transaction in ledger for event in transaction)
    with venue.client() as client:
        account, position = client.account(), client.position()
        served = (Decimal(account["totalWalletBalance"]), Decimal(position["positionAmt"]))
        trial.claim(served == (stands.wallet, stands.position), f"serves {served}")
        found = {row["orderId"]: _row(row) for row in client.open_orders()}
        expected = {number: _kept(order) for number, order in stands.open.items()}
        trial.claim(found == expected, f"serves the open orders {found}, not {expected}")
        trades = client.sign("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", limit=1000).found
        last = [(trade.trade_id, trade.order_id, trade.fee) for trade in list(stands.trades.values())[-1000:]]
        told = [(trade["id"], trade["orderId"], Decimal(trade["commission"])) for trade in trades]
        trial.claim(told == last, "the trades it serves are not the ledger's")
        placed = [one for one in memory.asked if one.what == "place" and one.answer]
        for one in trial.rng.sample(placed, min(10, len(placed))):
            row = client.query(one.answer["orderId"])
            order = stands.orders[one.answer["orderId"]]
            trial.claim(_row(row) == _kept(order) and row["status"] == order["status"], f"serves {row}, not {order}")


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["clientOrderId"], row["side"], *(Decimal(row[name]) for name in ("origQty", "executedQty", "price")))


def _kept(order: dict[str, Any]) -> tuple[Any, ...]:
    return (order["client_order_id"], order["side"], order["quantity"], order["filled"], order["price"] or Decimal(0))


def _claim_goes_on(trial: Trial, venue: VenueChild, memory: Memory, moment: tuple[int, int], ticks: int) -> None:
    """The first trade is the one behind the last that was noted, which no client has seen."""
    behind = moment[0] * ticks + moment[1]
    told = [number for life in memory.trades for number in life]
    trial.claim(told == sorted(set(told)), "trades were told twice or out of order")
    trial.claim(not told or told[-1] <= behind, f"trade {told[-1:]} was told before it was noted, at {moment}")
    with venue.client() as client:
        stream = client.stream("btcusdt@aggTrade")
        stream.subscribe("btcusdt@kline_1m")
        first = stream.event("aggTrade")["a"]
    trial.claim(first == behind + 1, f"goes on with trade {first}, not behind {moment}")


def _claim_candles(trial: Trial, venue: VenueChild, memory: Memory) -> None:
    """Those that were told are the dataset's, each once."""
    opens = [candle["t"] for candle in memory.candles]
    trial.claim(opens == sorted(set(opens)), "a candle was told twice")
    trial.observe("candles told", "some" if opens else "none")
    for known in venue.candles():
        if not opens or known.open_ms > opens[-1]:
            break
        expected = [Decimal(cents) / 100 for cents in (known.open, known.high, known.low, known.close)]
        for candle in memory.candles:
            told = [Decimal(candle[name]) for name in "ohlc"]
            trial.claim(candle["t"] != known.open_ms or told == expected, f"candle {candle} is not the dataset's")

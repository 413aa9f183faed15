"""kill -9 of the venue while clients place, change and cancel orders at their maximum rate.

Everything acknowledged, in an answer or on the user stream, is in the ledger; everything in the ledger was requested;
and a restarted venue serves that account and resumes the replay, without sending a tick or a candle twice.
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
    Recording,
    Trader,
    TradingRequest,
    by_market,
    by_rest,
    by_socket,
    by_user_stream,
    start_threads,
)
from tests.drivers.venue_client import SteppedVenue, VenueClient
from tests.drivers.venue_process import SAMPLE
from tests.oracles.ledger_state import LedgerState, ledger_state

FULL = 500
KILLS = 2
"""Kills of the venue in each trial."""
_SPEEDS = (120.0, 600.0, 3000.0)
_TICKS = (10, 30, 60)
_WORK_SECONDS = 0.7
_MAX_REQUESTS = 250
_START_SECONDS = 0.5
_END_SECONDS = 20.0
_STREAMS = ("btcusdt@aggTrade", "btcusdt@kline_1m")

Ledger = Sequence[Sequence[LedgerEvent]]


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    context.prepare_dataset(SAMPLE)
    for number in range(context.trial_count(FULL)):
        yield Attempt(f"venue-ledger-{number}", partial(_trial, context=context), 900.0)


def _trial(trial: Trial, context: ExperimentContext) -> None:
    rng, recording = trial.rng, Recording()
    speed, ticks = rng.choice(_SPEEDS), rng.choice(_TICKS)
    trial.observe("speed", f"{speed:.0f}x")
    venue = SteppedVenue(context.candles, trial.folder, speed=speed, pace="clock", ticks=ticks)
    with venue:
        before: Ledger = ()
        for cycle in range(KILLS):
            _trade_until_killed(trial, venue, recording, cycle)
            ledger = venue.transactions()
            trial.claim(list(ledger[: len(before)]) == list(before), "the beginning of the ledger has changed")
            _claim_received_is_in_ledger(trial, recording, ledger)
            _claim_ledger_was_requested(trial, recording, ledger)
            found = venue.audit()
            trial.claim(found.proven, f"the audit reports {[finding.text() for finding in found.findings]}")
            if rng.random() < 0.25:
                _kill_at_start(trial, venue)
            moment = _replay_position(venue)
            venue.start()
            _claim_serves(trial, venue, venue.transactions(), recording)
            trial.claim(venue.transactions() == ledger, "the restart changed the ledger")
            before = ledger
            _claim_replay_resumes(trial, venue, recording, moment, ticks)
        venue.stop()
        trial.claim(venue.audit().proven, "the audit reports findings after a clean end")
        _claim_candles(trial, venue, recording)
    trial.claim(not recording.failures, f"clients received unexpected answers: {recording.failures}")
    bugs = [entry for entry in venue.log if entry.get("log", {}).get("event") == "bug"]
    trial.claim(not bugs, f"the venue had bugs: {bugs}")


# Trading until the kill.


def _trade_until_killed(trial: Trial, venue: SteppedVenue, recording: Recording, cycle: int) -> None:
    """Let clients trade; kill the venue at a time, or at a request; after its death all clients end."""
    rng = trial.rng
    kill_now = threading.Event()
    first = len(recording.requests)
    with VenueClient(venue.endpoints) as client, VenueClient(venue.endpoints) as socket_client:
        recording.price = float(client.get("/fapi/v1/ticker/price", symbol="BTCUSDT")["price"])
        works = [by_user_stream(client.user_stream(), recording), by_market(client.stream(*_STREAMS), recording)]
        works += [
            by_rest(client, Trader(recording, f"r{cycle}", rng.randrange(1 << 30))),
            by_socket(socket_client, Trader(recording, f"s{cycle}", rng.randrange(1 << 30))),
        ]
        if rng.random() < 0.5:
            at = first + rng.randint(1, _MAX_REQUESTS)
            recording.on_request = lambda count: kill_now.set() if count >= at else None
            trial.observe("killed", "at a request")
            seconds = _END_SECONDS
        else:
            recording.on_request = lambda _count: None
            trial.observe("killed", "at any moment")
            seconds = rng.uniform(0, _WORK_SECONDS)
        threads = start_threads(recording, *works)
        kill_now.wait(seconds)
        venue.kill()
        for thread in threads:
            thread.join(_END_SECONDS)
        trial.claim(not any(thread.is_alive() for thread in threads), "a client waits for a dead venue")
    own_requests = recording.requests[first:]
    trial.observe("requests before a kill", f"up to {-(-len(own_requests) // 100) * 100}")
    trial.observe("torn end", "yes" if _is_torn(venue) else "no")
    ledger_ids = {e.client_order_id for events in venue.transactions() for e in events if isinstance(e, Accepted)}
    for request in own_requests:
        if request.action == "place" and request.answer is None and request.error_code is None:
            name = request.params["newClientOrderId"]
            trial.observe("orders without an answer", "in the ledger" if name in ledger_ids else "never accepted")


def _kill_at_start(trial: Trial, venue: SteppedVenue) -> None:
    """Kill it during its start, in most trials before it listens."""
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


def _is_torn(venue: SteppedVenue) -> bool:
    data = (venue.ledger / "ledger.jsonl").read_bytes()
    return not data.endswith(b"\n")


def _replay_position(venue: SteppedVenue) -> tuple[int, int]:
    """(minute, tick) as stored beside the ledger."""
    minute, tick = (venue.ledger / "position").read_text().split()
    return int(minute), int(tick)


# Claims.


def _claim_received_is_in_ledger(trial: Trial, recording: Recording, ledger: Ledger) -> None:
    events = [event for transaction in ledger for event in transaction]
    state = ledger_state(events)
    accepted = {event.client_order_id: event for event in events if isinstance(event, Accepted)}
    amended = {(e.order_id, e.quantity, e.price) for e in events if isinstance(e, Amended)}
    leverages = [event.leverage for event in events if isinstance(event, LeverageSet)]
    for request in recording.requests:
        if request.answer is None:
            continue
        answer = request.answer
        order = state.orders.get(answer.get("orderId"))
        match request.action:
            case "place":
                placed = accepted.get(request.params["newClientOrderId"])
                is_true = (
                    placed is not None
                    and placed.order_id == answer["orderId"]
                    and _is_as_requested(placed, request.params)
                )
                is_true = is_true and order is not None and order["filled"] >= Decimal(answer["executedQty"])
                if answer["status"] in ("FILLED", "EXPIRED"):
                    is_true = is_true and order is not None and order["status"] == answer["status"]
            case "modify" if answer["status"] != "CANCELED":
                terms = (answer["orderId"], Decimal(request.params["quantity"]), Decimal(request.params["price"]))
                is_true = terms in amended
            case "modify" | "cancel":
                is_true = order is not None and order["status"] == "CANCELED"
            case "cancel all":
                is_true = not request.known & state.open.keys()
            case _:
                is_true = answer["leverage"] in (*leverages, 10)
        trial.claim(is_true, f"acknowledged, and not in the ledger: {request}, {order}")
    for message in recording.user_events:
        trial.claim(_is_in_ledger(message, state, amended), f"received, and not in the ledger: {message}")


def _is_in_ledger(message: dict[str, Any], state: LedgerState, amended: set[tuple[int, Decimal, Decimal]]) -> bool:
    """Whether the ledger has the content of a user-stream message."""
    if message["e"] == "ACCOUNT_UPDATE":
        wallet = Decimal(message["a"]["B"][0]["wb"])
        return any(trade.wallet == wallet for trade in state.trades.values())
    if message["e"] != "ORDER_TRADE_UPDATE":
        return True
    row = message["o"]
    order = state.orders.get(row["i"])
    if order is None or order["client_order_id"] != row["c"]:
        return False
    match row["x"]:
        case "TRADE":
            trade = state.trades.get(row["t"])
            received = [Decimal(row[name]) for name in ("L", "l", "n", "rp")]
            return trade is not None and received == [trade.price, trade.quantity, trade.fee, trade.realized]
        case "AMENDMENT":
            return (row["i"], Decimal(row["q"]), Decimal(row["p"])) in amended
        case "CANCELED" | "EXPIRED":
            return bool(order["status"] == row["x"])
        case _:
            return bool(row["x"] == "NEW")


def _is_as_requested(order: Accepted, params: dict[str, Any]) -> bool:
    """Whether an order was accepted as requested."""
    price = Decimal(params["price"]) if "price" in params else None
    requested = (params["newClientOrderId"], params["side"], params["type"], params.get("timeInForce", "GTC"))
    return (
        (order.client_order_id, order.side, order.type, order.time_in_force) == requested
        and (order.quantity, order.price) == (Decimal(params["quantity"]), price)
        and order.reduce_only == ("reduceOnly" in params)
    )


def _claim_ledger_was_requested(trial: Trial, recording: Recording, ledger: Ledger) -> None:
    placed_requests = {
        request.params["newClientOrderId"]: request for request in recording.requests if request.action == "place"
    }
    by_action: dict[str, list[TradingRequest]] = {}
    for request in recording.requests:
        by_action.setdefault(request.action, []).append(request)
    closing_ids = {request.params["orderId"] for what in ("cancel", "modify") for request in by_action.get(what, ())}
    changes = {
        (request.params["orderId"], Decimal(request.params["quantity"]), Decimal(request.params["price"]))
        for request in by_action.get("modify", ())
    }
    orders: dict[int, Accepted] = {}
    names: set[str] = set()
    for transaction in ledger:
        made = {event.order_id for event in transaction if isinstance(event, Accepted | Amended)}
        for event in transaction:
            match event:
                case Accepted():
                    placed = placed_requests.get(event.client_order_id)
                    is_true = (
                        placed is not None and placed.error_code is None and _is_as_requested(event, placed.params)
                    )
                    is_true = is_true and event.client_order_id not in names
                    names.add(event.client_order_id)
                    orders[event.order_id] = event
                case Amended():
                    is_true = (event.order_id, event.quantity, event.price) in changes
                case Canceled():
                    is_true = event.order_id in closing_ids or "cancel all" in by_action
                case Expired():
                    order = orders[event.order_id]
                    is_true = order.type == "MARKET" or order.time_in_force in ("IOC", "FOK") or order.reduce_only
                case Filled():  # by the market, or by the request that made or changed the order
                    order = orders[event.order_id]
                    is_true = event.maker != (event.order_id in made)
                    is_true = is_true and not (event.maker and order.time_in_force in ("IOC", "FOK"))
                case LeverageSet():
                    is_true = any(
                        request.params["leverage"] == event.leverage for request in by_action.get("leverage", ())
                    )
                case Opened():
                    is_true = event is ledger[0][0]
            trial.claim(is_true, f"in the ledger, and never requested: {event}")


def _claim_serves(trial: Trial, venue: SteppedVenue, ledger: Ledger, recording: Recording) -> None:
    """The account is that of the ledger; the market does not move without a subscription to candles."""
    state = ledger_state(event for transaction in ledger for event in transaction)
    with venue.client() as client:
        account, position = client.account(), client.position()
        served = (Decimal(account["totalWalletBalance"]), Decimal(position["positionAmt"]))
        trial.claim(served == (state.wallet, state.position), f"serves {served}")
        open_orders = {row["orderId"]: _row(row) for row in client.open_orders()}
        expected = {number: _ledger_row(order) for number, order in state.open.items()}
        trial.claim(open_orders == expected, f"serves the open orders {open_orders}, not {expected}")
        trades = client.signed_request("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", limit=1000).answer
        last = [(trade.trade_id, trade.order_id, trade.fee) for trade in list(state.trades.values())[-1000:]]
        received = [(trade["id"], trade["orderId"], Decimal(trade["commission"])) for trade in trades]
        trial.claim(received == last, "the served trades are not those of the ledger")
        placed = [request for request in recording.requests if request.action == "place" and request.answer]
        for request in trial.rng.sample(placed, min(10, len(placed))):
            row = client.query(request.answer["orderId"])
            order = state.orders[request.answer["orderId"]]
            trial.claim(
                _row(row) == _ledger_row(order) and row["status"] == order["status"], f"serves {row}, not {order}"
            )


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["clientOrderId"], row["side"], *(Decimal(row[name]) for name in ("origQty", "executedQty", "price")))


def _ledger_row(order: dict[str, Any]) -> tuple[Any, ...]:
    return (order["client_order_id"], order["side"], order["quantity"], order["filled"], order["price"] or Decimal(0))


def _claim_replay_resumes(
    trial: Trial, venue: SteppedVenue, recording: Recording, moment: tuple[int, int], ticks: int
) -> None:
    """The first trade is the one after the last stored position, which no client has received."""
    last_number = moment[0] * ticks + moment[1]
    received = [number for cycle in recording.trades for number in cycle]
    trial.claim(received == sorted(set(received)), "trades arrived twice or out of order")
    trial.claim(
        not received or received[-1] <= last_number,
        f"trade {received[-1:]} arrived before its position was stored, at {moment}",
    )
    with venue.client() as client:
        stream = client.stream("btcusdt@aggTrade")
        stream.subscribe("btcusdt@kline_1m")
        first = stream.read_event("aggTrade")["a"]
    trial.claim(first == last_number + 1, f"resumes with trade {first}, expected the one after {moment}")


def _claim_candles(trial: Trial, venue: SteppedVenue, recording: Recording) -> None:
    """The received candles are those of the dataset, each once."""
    opens = [candle["t"] for candle in recording.candles]
    trial.claim(opens == sorted(set(opens)), "a candle arrived twice")
    trial.observe("candles received", "some" if opens else "none")
    for dataset_candle in venue.candles():
        if not opens or dataset_candle.open_ms > opens[-1]:
            break
        expected = [
            Decimal(cents) / 100
            for cents in (dataset_candle.open, dataset_candle.high, dataset_candle.low, dataset_candle.close)
        ]
        for candle in recording.candles:
            received = [Decimal(candle[name]) for name in "ohlc"]
            trial.claim(
                candle["t"] != dataset_candle.open_ms or received == expected, f"candle {candle} is not the dataset's"
            )

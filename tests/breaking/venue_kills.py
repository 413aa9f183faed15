"""kill -9 of a trading node, and of its venue, with an open position and open orders.

Node: a new node without memory recovers exactly the state of the venue. Venue: nothing acknowledged is lost, nothing
is invented, the account is the same, and the node reconnects by itself.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from opslab.model.messages.ledger_events import Accepted, Amended, LedgerEvent
from opslab.model.primitives.instant import MINUTE_MS
from tests.breaking.context import ExperimentContext
from tests.breaking.trial import Attempt, Trial
from tests.drivers.node_process import Line, NodeProcess
from tests.drivers.venue_process import SAMPLE, VenueProcess
from tests.oracles.ledger_state import LedgerState, differences, ledger_state, plain

FULL = 20
SOCKETS = 4
"""Sockets of a node: market, public, account, trading."""
ACCOUNT = "binance-futures-user-streams"
REPORTED_OFF = 1e-6
"""Relative tolerance of an entry price that a node has from a report: the venue sends it with 5 decimals."""
INFERRED_OFF = 1e-3
"""The same if the engine had to infer a fill, because the adapter lost it with a socket."""
_SPEEDS = (120.0, 240.0, 600.0)
_TICKS = (10, 30, 60)
_ANYWHERE_SECONDS = 1.2
_ORDER_SECONDS = 0.004
"""Response time of an order."""
_CLOSE_SECONDS = 0.008
_AGREE_SECONDS = 15.0
_POLL_SECONDS = 0.02
_NO_ORDER = ("OrderInitialized", "OrderSubmitted", "OrderDenied")

Ledger = Sequence[Sequence[LedgerEvent]]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Allowed differences of a node from the venue, see `differences`."""

    entry_off: float = REPORTED_OFF
    given_up: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TradingSession:
    """A venue, a node that trades on it, and the duration of a market minute."""

    venue: VenueProcess
    node: NodeProcess
    minute_seconds: float


def node_attempts(context: ExperimentContext) -> Iterator[Attempt]:
    yield from _attempts("venue-kill-node", context, _kill_node)


def venue_attempts(context: ExperimentContext) -> Iterator[Attempt]:
    yield from _attempts("venue-kill-venue", context, _kill_venue)


def _attempts(name: str, context: ExperimentContext, run: Callable[..., None]) -> Iterator[Attempt]:
    context.prepare_dataset(SAMPLE)
    moments = list(MOMENTS)
    for number in range(context.trial_count(FULL)):
        moment = moments[number % len(moments)]
        yield Attempt(
            f"{name}-{number}-{moment.replace(' ', '-')}", partial(run, context=context, moment=moment), 120.0
        )


# Moments.


def _anywhere(trial: Trial, _play: TradingSession) -> float:
    return trial.rng.uniform(0, _ANYWHERE_SECONDS)


def _at_an_order(trial: Trial, session: TradingSession) -> float:
    """While the venue processes an order."""
    time.sleep(_anywhere(trial, session))
    session.node.wait("order", event="OrderSubmitted", after=len(session.node.lines))
    return trial.rng.uniform(0, _ORDER_SECONDS)


def _at_a_close(trial: Trial, session: TradingSession) -> float:
    """Around the end of a minute."""
    time.sleep(_anywhere(trial, session))
    session.node.wait("bar", after=len(session.node.lines))
    return max(0.0, session.minute_seconds + trial.rng.uniform(-_CLOSE_SECONDS, _CLOSE_SECONDS / 4))


MOMENTS: dict[str, Callable[[Trial, TradingSession], float]] = {
    "anywhere": _anywhere,
    "at an order": _at_an_order,
    "at a close": _at_a_close,
}


def _start_trading(trial: Trial, context: ExperimentContext, stack: ExitStack) -> TradingSession:
    """Start trading: one position and two open orders that stay, and many more orders that are placed and closed."""
    speed, ticks = trial.rng.choice(_SPEEDS), trial.rng.choice(_TICKS)
    venue = stack.enter_context(VenueProcess(context.candles, trial.folder, speed=speed, ticks=ticks))
    node = stack.enter_context(_node(trial, venue, "node", seed=trial.rng.randrange(1 << 30), checks=True))
    node.wait("ready")
    node.place("KEPT-LONG", "BUY", "0.500")
    node.place("KEPT-LOW", "BUY", "0.010", kind="limit", off=0.97)
    node.place("KEPT-HIGH", "SELL", "0.010", kind="limit", off=1.03)
    node.wait("order", client_order_id="KEPT-LONG", event="OrderFilled")
    for id in ("KEPT-LOW", "KEPT-HIGH"):
        node.wait("order", client_order_id=id, event="OrderAccepted")
    node.do("trade", on=True)
    node.wait_for(lambda line: line.get("event") == "OrderFilled" and not _kept(line), "an order of its own filled")
    trial.observe("speed", f"{speed:.0f}x")
    return TradingSession(venue, node, 60 / speed)


def _node(trial: Trial, venue: VenueProcess, name: str, **setup: Any) -> NodeProcess:
    return NodeProcess(venue.endpoints, trial.folder / f"{name}.log", all_data=False, **setup)


def _kept(line: Line) -> bool:
    return str(line["client_order_id"]).startswith("KEPT")


# Kill of the node.


def _kill_node(trial: Trial, context: ExperimentContext, moment: str) -> None:
    with ExitStack() as stack:
        session = _start_trading(trial, context, stack)
        time.sleep(MOMENTS[moment](trial, session))
        session.node.kill()
        trial.observe("moment", moment)
        _claim_acknowledged(trial, session.node.lines, session.venue.transactions())
        transaction_count = len(session.venue.transactions())
        fresh = stack.enter_context(_node(trial, session.venue, "fresh"))
        started = fresh.wait("started")
        disagreements = _disagreements(started, session.venue.transactions(), transaction_count, Tolerance())
        trial.observe("first state of the new node", "as at the venue" if not disagreements else "a moment old")
        if not _claim_agrees(trial, session.venue, fresh, "a new node"):
            return
        open_ids = set(fresh.state()["open"])
        trial.claim({"KEPT-LOW", "KEPT-HIGH"} <= open_ids, f"orders lost their ids: {sorted(open_ids)}")
        trial.observe("open orders recovered", len(open_ids))
        _claim_owned(trial, session.venue, fresh)
        fresh.stop()
        session.venue.stop()
        _claim_proven(trial, session.venue)


def _claim_owned(trial: Trial, venue: VenueProcess, fresh: NodeProcess) -> None:
    """The node can cancel and close the recovered orders and position."""
    line_count = len(fresh.lines)
    fresh.do("cancel", id="KEPT-LOW")
    fresh.wait("order", client_order_id="KEPT-LOW", event="OrderCanceled", after=line_count)
    fresh.do("cancel_all")
    fresh.do("close")
    deadline = time.monotonic() + _AGREE_SECONDS
    while (state := venue.ledger_state()).position or state.open:
        if time.monotonic() > deadline:
            trial.claim(False, f"it cannot close the recovered state: {state.position}, {state.open}")
            return
        time.sleep(_POLL_SECONDS)
    _claim_agrees(trial, venue, fresh, "a node that has closed all recovered orders")


# Kill of the venue.


def _kill_venue(trial: Trial, context: ExperimentContext, moment: str) -> None:
    with ExitStack() as stack:
        session = _start_trading(trial, context, stack)
        venue, node = session.venue, session.node
        time.sleep(MOMENTS[moment](trial, session))
        venue.kill()
        trial.observe("moment", moment)
        at_death = venue.transactions()
        loss = node.wait("socket", state="DISCONNECTED")
        reported = node.lines[: node.lines.index(loss)]
        _claim_acknowledged(trial, reported, at_death)
        trial.observe("orders in flight", _in_flight(reported, at_death))
        given_up = _unanswered(reported)
        if trial.rng.random() < 0.5:
            time.sleep(trial.rng.uniform(0, 1.0))
        venue.start()
        started_s = time.monotonic()
        after = node.lines.index(loss)
        _claim_same_account(trial, venue, at_death)
        _wait_for_sockets(node, after)
        trial.observe("node reconnected", f"within {int(time.monotonic() - started_s) + 1} s")
        line_count = len(node.lines)
        node.wait("bar", after=line_count)
        node.place("KEPT-AFTER", "SELL", "0.010")
        node.wait("order", client_order_id="KEPT-AFTER", event="OrderFilled")
        node.do("trade", on=False)

        def tolerance() -> Tolerance:
            return Tolerance(INFERRED_OFF if _inferred(node) else REPORTED_OFF, given_up)

        if _claim_agrees(trial, venue, node, "the reconnected node", tolerance):
            wrong = given_up & set(node.state()["closed"]) & {plain(id) for id in _open_ids(venue)}
            trial.observe("orders that the engine gave up, open at the venue", len(wrong))
        trial.observe("fills that the engine inferred", _inferred(node))
        node.stop()
        klines = venue.get("/fapi/v1/klines", signed=False, symbol="BTCUSDT", interval="1m", limit=1500)[:-1]
        _claim_candles(trial, venue, node.lines, loss, klines)
        venue.stop()
        ledger = venue.transactions()
        trial.claim(list(ledger[: len(at_death)]) == list(at_death), "the beginning of the ledger has changed")
        _claim_acknowledged(trial, node.lines, ledger)
        _claim_proven(trial, venue)


def _in_flight(lines: Iterable[Line], ledger: Ledger) -> str:
    """Outcome of orders without an answer at the death of the venue."""
    reported: dict[str, set[str]] = {}
    for line in lines:
        if line["kind"] == "order":
            reported.setdefault(line["client_order_id"], set()).add(line["event"])
    ledger_ids = {plain(order["client_order_id"]) for order in _standing(ledger).orders.values()}
    is_in_ledger = [
        id in ledger_ids
        for id, events in reported.items()
        if "OrderSubmitted" in events and not events - set(_NO_ORDER)
    ]
    if not is_in_ledger:
        return "none"
    return " and ".join(
        text for text, value in (("in the ledger", True), ("never accepted", False)) if value in is_in_ledger
    )


def _unanswered(lines: Iterable[Line]) -> frozenset[str]:
    """Orders whose cancel or change had no answer at the death of the venue.

    The engine queries them, is informed that they are open, and after several queries treats them as canceled.
    """
    waiting: set[str] = set()
    for line in lines:
        if line["kind"] == "order":
            pending = line["event"] in ("OrderPendingCancel", "OrderPendingUpdate")
            (waiting.add if pending else waiting.discard)(line["client_order_id"])
    return frozenset(waiting)


def _inferred(node: NodeProcess) -> int:
    return sum(1 for _ in node.lines_of("order", event="OrderFilled", reconciliation=True))


def _open_ids(venue: VenueProcess) -> list[str]:
    return [order["client_order_id"] for order in venue.ledger_state().open.values()]


def _wait_for_sockets(node: NodeProcess, after: int) -> None:
    """Wait until all lost sockets are connected, and the adapter has replaced the account's socket once."""
    states: dict[str, list[str]] = {}

    def back(line: Line) -> bool:
        if line["kind"] == "socket":
            states.setdefault(line["endpoint"], []).append(line["state"])
        is_there = [disagreements[-1] == "CONNECTED" for disagreements in states.values()]
        return len(is_there) == SOCKETS and all(is_there) and states.get(ACCOUNT, []).count("CONNECTED") > 1

    node.wait_for(back, "all sockets connected", after=after)


def _claim_same_account(trial: Trial, venue: VenueProcess, at_death: Ledger) -> None:
    """The venue serves the state of its ledger, all of it at one moment."""
    for _ in range(100):
        before = venue.transactions()
        (balance,) = venue.get("/fapi/v2/account")["assets"]
        (risk,) = venue.get("/fapi/v2/positionRisk", symbol="BTCUSDT")
        is_open = venue.get("/fapi/v1/openOrders")
        if len(venue.transactions()) == len(before):
            break
    else:
        raise AssertionError("the account was never at rest")
    trial.observe("served after the kill", "unchanged" if len(before) == len(at_death) else "unchanged, then continued")
    state = _standing(before)
    served = (Decimal(balance["walletBalance"]), Decimal(risk["positionAmt"]))
    trial.claim(served == (state.wallet, state.position), f"serves {served}, not {state.wallet}, {state.position}")
    served_orders = {
        order["orderId"]: (
            order["clientOrderId"],
            *(Decimal(order[name]) for name in ("origQty", "executedQty", "price")),
        )
        for order in is_open
    }
    ledger_orders = {
        number: (order["client_order_id"], order["quantity"], order["filled"], order["price"])
        for number, order in state.open.items()
    }
    trial.claim(served_orders == ledger_orders, f"serves the open orders {served_orders}, not {ledger_orders}")


def _claim_candles(trial: Trial, venue: VenueProcess, lines: list[Line], loss: Line, klines: list[list[Any]]) -> None:
    """No candle arrives twice or differs; one may be missing from a disconnection, and can be queried."""
    dataset = {
        (candle.open_ms + MINUTE_MS - 1) * 1_000_000: (
            *(Decimal(price) / 100 for price in (candle.open, candle.high, candle.low, candle.close)),
            Decimal(candle.volume) / 1000,
        )
        for candle in venue.candles()
    }
    names = ("open", "high", "low", "close", "volume")
    bars = [(bar["ts_event"], tuple(Decimal(bar[name]) for name in names)) for bar in lines if bar["kind"] == "bar"]
    queried = {row[6] * 1_000_000: tuple(map(Decimal, row[1:6])) for row in klines}
    times = [ts for ts, _ in bars]
    trial.claim(times == sorted(set(times)), "closed candles arrived twice, or out of order")
    for ts, values in (*bars, *queried.items()):
        trial.claim(dataset[ts] == values, f"candle {ts} is {values}, the dataset has {dataset[ts]}")
    before = max((line["ts_event"] for line in lines[: lines.index(loss)] if line["kind"] == "bar"), default=0)
    first_after = min(line["ts_event"] for line in lines[lines.index(loss) :] if line["kind"] == "bar")
    missing_ns = [ts for ts in dataset if times[0] < ts < times[-1] and ts not in set(times)]
    trial.observe("candles missing from the stream", len(missing_ns))
    trial.claim(len(missing_ns) <= 1, f"{len(missing_ns)} candles are missing of the stream")
    trial.claim(all(before < ts < first_after for ts in missing_ns), f"missing while it was connected: {missing_ns}")
    trial.claim(all(ts in queried for ts in missing_ns), f"not available by query: {missing_ns}")


# Shared.


def _standing(ledger: Ledger) -> LedgerState:
    return ledger_state(event for events in ledger for event in events)


def _claim_acknowledged(trial: Trial, lines: Iterable[Line], ledger: Ledger) -> None:
    """Every order event that the node received is in the ledger."""
    state = _standing(ledger)
    terms = {
        (event.order_id, event.quantity, event.price)
        for events in ledger
        for event in events
        if isinstance(event, Accepted | Amended)
    }
    for line in lines:
        if line["kind"] != "order" or line.get("reconciliation") or "venue_order_id" not in line:
            continue
        number = int(line["venue_order_id"])
        order = state.orders.get(number)
        if not trial.claim(order is not None, f"acknowledged, and not in the ledger: {line}"):
            continue
        assert order is not None
        is_equal = plain(order["client_order_id"]) == line["client_order_id"]
        match line["event"]:
            case "OrderFilled":
                trade = state.trades.get(int(line["trade_id"]))
                is_equal = is_equal and trade is not None
                if trade is not None:
                    ledger_orders = (number, *(Decimal(line[name]) for name in ("last_px", "last_qty", "fee")))
                    is_equal = is_equal and ledger_orders == (trade.order_id, trade.price, trade.quantity, trade.fee)
            case "OrderCanceled":
                is_equal = is_equal and order["status"] == "CANCELED"
            case "OrderExpired":
                is_equal = is_equal and order["status"] == "EXPIRED"
            case "OrderUpdated":
                is_equal = is_equal and (number, Decimal(line["quantity"]), Decimal(line["price"])) in terms
        trial.claim(is_equal, f"received {line}, the ledger has {order}")


def _disagreements(reported: Line, ledger: Ledger, transaction_count: int, tolerance: Tolerance) -> list[str]:
    """Differences from every ledger state since `transaction_count` transactions; empty if one state matches."""
    disagreements: list[str] = []
    for length in range(len(ledger), transaction_count - 1, -1):
        state = _standing(ledger[:length])
        differing = differences(reported, state, entry_off=tolerance.entry_off, given_up=tolerance.given_up)
        if not differing:
            return []
        disagreements = disagreements or differing
    return disagreements


def _claim_agrees(
    trial: Trial, venue: VenueProcess, node: NodeProcess, subject: str, tolerance: Callable[[], Tolerance] = Tolerance
) -> bool:
    """Within the time limit the node has exactly the state of the venue."""
    started_s = time.monotonic()
    while True:
        transaction_count = len(venue.transactions())
        reported = node.state()
        disagreements = _disagreements(reported, venue.transactions(), transaction_count, tolerance())
        seconds = time.monotonic() - started_s
        if not disagreements or seconds > _AGREE_SECONDS:
            break
        time.sleep(_POLL_SECONDS)
    if not disagreements:
        trial.observe(f"{subject} agrees", "within 0.2 s" if seconds < 0.2 else f"within {int(seconds) + 1} s")
    return trial.claim(
        not disagreements, f"{subject} does not agree with the venue after {_AGREE_SECONDS:.0f} s: {disagreements}"
    )


def _claim_proven(trial: Trial, venue: VenueProcess) -> None:
    disagreements = venue.audit()
    trial.claim(disagreements.proven, f"audit of the ledger: {[finding.text() for finding in disagreements.findings]}")
    bugs = [entry for entry in venue.log if entry.get("log", {}).get("event") == "bug"]
    trial.claim(not bugs, f"the venue had bugs: {bugs}")

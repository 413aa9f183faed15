"""kill -9 of a node that trades, and of the venue under it, with an open position and open orders.

Of the node: a new one, which remembers nothing, finds exactly what the venue has. Of the venue: nothing that was
acknowledged is lost, nothing is invented, the account is the same, and the node comes back by itself.
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
from tests.oracles.ledger_state import Standing, differences, plain, standing

FULL = 20
SOCKETS = 4
"""Of a node: market, public, account, trading."""
ACCOUNT = "binance-futures-user-streams"
REPORTED_OFF = 1e-6
"""As far as an entry price may be off that a node has from a report, relatively: the venue gives it with 5 decimals."""
INFERRED_OFF = 1e-3
"""The same when the engine had to infer a fill, as it does for what the adapter dropped with a socket."""
_SPEEDS = (120.0, 240.0, 600.0)
_TICKS = (10, 30, 60)
_ANYWHERE_SECONDS = 1.2
_ORDER_SECONDS = 0.004
"""An order is answered within so long."""
_CLOSE_SECONDS = 0.008
_AGREE_SECONDS = 15.0
_POLL_SECONDS = 0.02
_NO_ORDER = ("OrderInitialized", "OrderSubmitted", "OrderDenied")

Ledger = Sequence[Sequence[LedgerEvent]]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a node may have other than the venue, see `differences`."""

    entry_off: float = REPORTED_OFF
    given_up: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class KillSession:
    """A venue, a node that trades on it, and how long a minute takes there."""

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
        yield Attempt(f"{name}-{number}-{moment.replace(' ', '-')}", partial(run, context=context, moment=moment), 120.0)


# Moments.


def _anywhere(trial: Trial, _play: KillSession) -> float:
    return trial.rng.uniform(0, _ANYWHERE_SECONDS)


def _at_an_order(trial: Trial, session: KillSession) -> float:
    """While the venue deals with one."""
    time.sleep(_anywhere(trial, session))
    session.node.wait("order", event="OrderSubmitted", after=len(session.node.lines))
    return trial.rng.uniform(0, _ORDER_SECONDS)


def _at_a_close(trial: Trial, session: KillSession) -> float:
    """Around the end of a minute."""
    time.sleep(_anywhere(trial, session))
    session.node.wait("bar", after=len(session.node.lines))
    return max(0.0, session.minute_seconds + trial.rng.uniform(-_CLOSE_SECONDS, _CLOSE_SECONDS / 4))


MOMENTS: dict[str, Callable[[Trial, KillSession], float]] = {
    "anywhere": _anywhere,
    "at an order": _at_an_order,
    "at a close": _at_a_close,
}


def _trading(trial: Trial, context: ExperimentContext, stack: ExitStack) -> KillSession:
    """With an open position and open orders, all three of which stay, and many more that come and go."""
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
    return KillSession(venue, node, 60 / speed)


def _node(trial: Trial, venue: VenueProcess, name: str, **setup: Any) -> NodeProcess:
    return NodeProcess(venue.endpoints, trial.folder / f"{name}.log", all_data=False, **setup)


def _kept(line: Line) -> bool:
    return str(line["client_order_id"]).startswith("KEPT")


# Of the node.


def _kill_node(trial: Trial, context: ExperimentContext, moment: str) -> None:
    with ExitStack() as stack:
        session = _trading(trial, context, stack)
        time.sleep(MOMENTS[moment](trial, session))
        session.node.kill()
        trial.observe("moment", moment)
        _claim_acknowledged(trial, session.node.lines, session.venue.transactions())
        known = len(session.venue.transactions())
        fresh = stack.enter_context(_node(trial, session.venue, "fresh"))
        started = fresh.wait("started")
        found = _disagreement(started, session.venue.transactions(), known, Tolerance())
        trial.observe("what the new node starts with", "what the venue has" if not found else "what it had a moment before")
        if not _claim_agrees(trial, session.venue, fresh, "a new node"):
            return
        open_ids = set(fresh.state()["open"])
        trial.claim({"KEPT-LOW", "KEPT-HIGH"} <= open_ids, f"orders lost their ids: {sorted(open_ids)}")
        trial.observe("open orders taken over", len(open_ids))
        _claim_owned(trial, session.venue, fresh)
        fresh.stop()
        session.venue.stop()
        _claim_proven(trial, session.venue)


def _claim_owned(trial: Trial, venue: VenueProcess, fresh: NodeProcess) -> None:
    """What it took over it can cancel and close."""
    seen = len(fresh.lines)
    fresh.do("cancel", id="KEPT-LOW")
    fresh.wait("order", client_order_id="KEPT-LOW", event="OrderCanceled", after=seen)
    fresh.do("cancel_all")
    fresh.do("close")
    deadline = time.monotonic() + _AGREE_SECONDS
    while (stands := venue.standing()).position or stands.open:
        if time.monotonic() > deadline:
            trial.claim(False, f"it cannot end what it took over: {stands.position}, {stands.open}")
            return
        time.sleep(_POLL_SECONDS)
    _claim_agrees(trial, venue, fresh, "a node that has ended all that it took over")


# Of the venue.


def _kill_venue(trial: Trial, context: ExperimentContext, moment: str) -> None:
    with ExitStack() as stack:
        session = _trading(trial, context, stack)
        venue, node = session.venue, session.node
        time.sleep(MOMENTS[moment](trial, session))
        venue.kill()
        trial.observe("moment", moment)
        at_death = venue.transactions()
        lost = node.wait("socket", state="DISCONNECTED")
        told = node.lines[: node.lines.index(lost)]
        _claim_acknowledged(trial, told, at_death)
        trial.observe("orders in flight", _in_flight(told, at_death))
        given_up = _unanswered(told)
        if trial.rng.random() < 0.5:
            time.sleep(trial.rng.uniform(0, 1.0))
        venue.start()
        started_s = time.monotonic()
        after = node.lines.index(lost)
        _claim_same_account(trial, venue, at_death)
        _wait_for_sockets(node, after)
        trial.observe("node is back", f"within {int(time.monotonic() - started_s) + 1} s")
        seen = len(node.lines)
        node.wait("bar", after=seen)
        node.place("KEPT-AFTER", "SELL", "0.010")
        node.wait("order", client_order_id="KEPT-AFTER", event="OrderFilled")
        node.do("trade", on=False)

        def tolerance() -> Tolerance:
            return Tolerance(INFERRED_OFF if _inferred(node) else REPORTED_OFF, given_up)

        if _claim_agrees(trial, venue, node, "the node that came back", tolerance):
            wrong = given_up & set(node.state()["closed"]) & {plain(id) for id in _open_ids(venue)}
            trial.observe("orders that the engine gave up, open at the venue", len(wrong))
        trial.observe("fills that the engine inferred", _inferred(node))
        node.stop()
        klines = venue.ask("/fapi/v1/klines", signed=False, symbol="BTCUSDT", interval="1m", limit=1500)[:-1]
        _claim_candles(trial, venue, node.lines, lost, klines)
        venue.stop()
        ledger = venue.transactions()
        trial.claim(list(ledger[: len(at_death)]) == list(at_death), "the ledger's beginning is not what it was")
        _claim_acknowledged(trial, node.lines, ledger)
        _claim_proven(trial, venue)


def _in_flight(lines: Iterable[Line], ledger: Ledger) -> str:
    """What became of orders that were not answered when the venue died."""
    told: dict[str, set[str]] = {}
    for line in lines:
        if line["what"] == "order":
            told.setdefault(line["client_order_id"], set()).add(line["event"])
    kept = {plain(order["client_order_id"]) for order in _standing(ledger).orders.values()}
    fates = [id in kept for id, events in told.items() if "OrderSubmitted" in events and not events - set(_NO_ORDER)]
    if not fates:
        return "none"
    return " and ".join(word for word, fate in (("in the ledger", True), ("never taken", False)) if fate in fates)


def _unanswered(lines: Iterable[Line]) -> frozenset[str]:
    """Orders whose cancel or change was not answered when the venue died.

    The engine asks what became of them, is told that they are open, and after some times takes them for canceled.
    """
    waiting: set[str] = set()
    for line in lines:
        if line["what"] == "order":
            pending = line["event"] in ("OrderPendingCancel", "OrderPendingUpdate")
            (waiting.add if pending else waiting.discard)(line["client_order_id"])
    return frozenset(waiting)


def _inferred(node: NodeProcess) -> int:
    return sum(1 for _ in node.told("order", event="OrderFilled", reconciliation=True))


def _open_ids(venue: VenueProcess) -> list[str]:
    return [order["client_order_id"] for order in venue.standing().open.values()]


def _wait_for_sockets(node: NodeProcess, after: int) -> None:
    """All that it lost are there again; the account's has then been exchanged for a new one, as the adapter does."""
    states: dict[str, list[str]] = {}

    def back(line: Line) -> bool:
        if line["what"] == "socket":
            states.setdefault(line["endpoint"], []).append(line["state"])
        is_there = [found[-1] == "CONNECTED" for found in states.values()]
        return len(is_there) == SOCKETS and all(is_there) and states.get(ACCOUNT, []).count("CONNECTED") > 1

    node.wait_for(back, "all its sockets connected", after=after)


def _claim_same_account(trial: Trial, venue: VenueProcess, at_death: Ledger) -> None:
    """What it serves is what its ledger says, all of it at one moment."""
    for _ in range(100):
        before = venue.transactions()
        (balance,) = venue.ask("/fapi/v2/account")["assets"]
        (risk,) = venue.ask("/fapi/v2/positionRisk", symbol="BTCUSDT")
        is_open = venue.ask("/fapi/v1/openOrders")
        if len(venue.transactions()) == len(before):
            break
    else:
        raise AssertionError("the account was never at rest")
    trial.observe("served after the kill", "as it was" if len(before) == len(at_death) else "as it was, and went on")
    stands = _standing(before)
    served = (Decimal(balance["walletBalance"]), Decimal(risk["positionAmt"]))
    trial.claim(served == (stands.wallet, stands.position), f"serves {served}, not {stands.wallet}, {stands.position}")
    theirs = {
        order["orderId"]: (
            order["clientOrderId"],
            *(Decimal(order[name]) for name in ("origQty", "executedQty", "price")),
        )
        for order in is_open
    }
    ours = {
        number: (order["client_order_id"], order["quantity"], order["filled"], order["price"])
        for number, order in stands.open.items()
    }
    trial.claim(theirs == ours, f"serves the open orders {theirs}, not {ours}")


def _claim_candles(trial: Trial, venue: VenueProcess, lines: list[Line], lost: Line, klines: list[list[Any]]) -> None:
    """None is told twice, none differs; one is missing only where the node was not connected, and can be asked for."""
    dataset = {
        (candle.open_ms + MINUTE_MS - 1) * 1_000_000: (
            *(Decimal(price) / 100 for price in (candle.open, candle.high, candle.low, candle.close)),
            Decimal(candle.volume) / 1000,
        )
        for candle in venue.candles()
    }
    names = ("open", "high", "low", "close", "volume")
    bars = [(bar["ts_event"], tuple(Decimal(bar[name]) for name in names)) for bar in lines if bar["what"] == "bar"]
    asked = {row[6] * 1_000_000: tuple(map(Decimal, row[1:6])) for row in klines}
    times = [ts for ts, _ in bars]
    trial.claim(times == sorted(set(times)), "closed candles were told twice, or out of order")
    for ts, values in (*bars, *asked.items()):
        trial.claim(dataset[ts] == values, f"candle {ts} is {values}, the dataset has {dataset[ts]}")
    before = max((line["ts_event"] for line in lines[: lines.index(lost)] if line["what"] == "bar"), default=0)
    behind = min(line["ts_event"] for line in lines[lines.index(lost) :] if line["what"] == "bar")
    skipped_reasons = [ts for ts in dataset if times[0] < ts < times[-1] and ts not in set(times)]
    trial.observe("candles missing from the stream", len(skipped_reasons))
    trial.claim(len(skipped_reasons) <= 1, f"{len(skipped_reasons)} candles are missing of the stream")
    trial.claim(all(before < ts < behind for ts in skipped_reasons), f"missing while it was connected: {skipped_reasons}")
    trial.claim(all(ts in asked for ts in skipped_reasons), f"not to be had at all: {skipped_reasons}")


# Of both.


def _standing(ledger: Ledger) -> Standing:
    return standing(event for events in ledger for event in events)


def _claim_acknowledged(trial: Trial, lines: Iterable[Line], ledger: Ledger) -> None:
    """Whatever the node was told of its orders is in the ledger."""
    stands = _standing(ledger)
    terms = {
        (event.order_id, event.quantity, event.price)
        for events in ledger
        for event in events
        if isinstance(event, Accepted | Amended)
    }
    for line in lines:
        if line["what"] != "order" or line.get("reconciliation") or "venue_order_id" not in line:
            continue
        number = int(line["venue_order_id"])
        order = stands.orders.get(number)
        if not trial.claim(order is not None, f"acknowledged, and not in the ledger: {line}"):
            continue
        assert order is not None
        holds = plain(order["client_order_id"]) == line["client_order_id"]
        match line["event"]:
            case "OrderFilled":
                trade = stands.trades.get(int(line["trade_id"]))
                holds = holds and trade is not None
                if trade is not None:
                    ours = (number, *(Decimal(line[name]) for name in ("last_px", "last_qty", "fee")))
                    holds = holds and ours == (trade.order_id, trade.price, trade.quantity, trade.fee)
            case "OrderCanceled":
                holds = holds and order["status"] == "CANCELED"
            case "OrderExpired":
                holds = holds and order["status"] == "EXPIRED"
            case "OrderUpdated":
                holds = holds and (number, Decimal(line["quantity"]), Decimal(line["price"])) in terms
        trial.claim(holds, f"told {line}, the ledger has {order}")


def _disagreement(told: Line, ledger: Ledger, known: int, tolerance: Tolerance) -> list[str]:
    """Why this is not what the ledger said at any moment since it had `known` transactions; empty when it is."""
    found: list[str] = []
    for length in range(len(ledger), known - 1, -1):
        stands = _standing(ledger[:length])
        this = differences(told, stands, entry_off=tolerance.entry_off, given_up=tolerance.given_up)
        if not this:
            return []
        found = found or this
    return found


def _claim_agrees(
    trial: Trial, venue: VenueProcess, node: NodeProcess, who: str, tolerance: Callable[[], Tolerance] = Tolerance
) -> bool:
    """Before long the node has exactly what the venue has."""
    started_s = time.monotonic()
    while True:
        known = len(venue.transactions())
        told = node.state()
        found = _disagreement(told, venue.transactions(), known, tolerance())
        seconds = time.monotonic() - started_s
        if not found or seconds > _AGREE_SECONDS:
            break
        time.sleep(_POLL_SECONDS)
    if not found:
        trial.observe(f"{who} agrees", "within 0.2 s" if seconds < 0.2 else f"within {int(seconds) + 1} s")
    return trial.claim(not found, f"{who} does not agree with the venue after {_AGREE_SECONDS:.0f} s: {found}")


def _claim_proven(trial: Trial, venue: VenueProcess) -> None:
    found = venue.audit()
    trial.claim(found.proven, f"the ledger's audit: {[finding.text() for finding in found.findings]}")
    bugs = [entry for entry in venue.log if entry.get("log", {}).get("event") == "bug"]
    trial.claim(not bugs, f"the venue had bugs: {bugs}")

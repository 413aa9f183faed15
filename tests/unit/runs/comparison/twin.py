"""A paper run made out of a backtest's own results: the same bars, orders and fills, but for what a test twists."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from opslab.datasets.playback import playback
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import instrument_of
from opslab.model.primitives.ids import DatasetId
from opslab.model.primitives.instant import NS_PER_MINUTE, close_ns
from opslab.model.run.metadata import RunMetadata
from opslab.model.run.paper_summary import Latencies, PaperFacts, StopFacts
from opslab.model.run.run_counters import Reconciliations
from opslab.model.spec.run_spec import AccountSpec
from opslab.ports import Moment
from opslab.resources import exchange_info_symbol
from opslab.runs.comparison.parity.parity import ComparedRun
from opslab.runs.paper.results import send_rows
from opslab.store.layout import Layout
from opslab.store.runs.engine_order_log import EngineOrderLog
from opslab.store.runs.journal import Journal
from opslab.store.runs.run_folders import RowsFile, read_metadata
from opslab.store.venues.ledger import LedgerFile
from opslab.store.venues.venue_files import VENUE_FOLDER
from opslab.system import SystemClock

INSTRUMENT = instrument_of(exchange_info_symbol("BTCUSDT"))
WALL_MS = 1_800_000_000_000
Row = dict[str, Any]
NOTHING: Callable[[Row], None] = lambda _row: None  # noqa: E731


@dataclass
class Twist:
    """What is otherwise. Orders by their number, bars by their index, both from 0."""

    missing: set[int] = field(default_factory=set)
    bars: dict[int, Row] = field(default_factory=dict)
    made: dict[int, Row] = field(default_factory=dict)
    """Of an order as the strategy made it."""
    unmade: set[int] = field(default_factory=set)
    fills: dict[int, list[Row]] = field(default_factory=dict)
    """Instead of the backtest's: each may have `price`, `quantity`, `fee`, `maker`, `tick`, `minute`."""
    late: dict[int, Moment] = field(default_factory=dict)
    """How far behind its bar an order comes to the venue."""
    canceled: dict[int, Moment | None] = field(default_factory=dict)
    """When an order was canceled, counted from the window's first candle; None: never."""
    never: dict[int, str] = field(default_factory=dict)
    """Orders that are denied or rejected instead, by the kind of the event."""
    facts: Row = field(default_factory=dict)
    metadata: Row = field(default_factory=dict)
    decisions_kept: bool = True
    subscriptions: list[Row] = field(default_factory=list)
    """As its engine reports them."""


def backtest(home: Path, run_id: str) -> ComparedRun:
    folder = Layout(home).runs / run_id
    metadata = read_metadata(folder)
    assert metadata
    return ComparedRun(folder, metadata, AccountSpec(), decisions_kept=True, market_parameters=None)


def twin(of: ComparedRun, home: Path, folder: Path, bars: int, twist: Twist) -> ComparedRun:
    """bars: how many of the backtest's the paper run saw."""
    folder.mkdir()
    (folder / "work").mkdir()
    rows = {name: RowsFile(folder, name) for name in ("orders", "fills", "positions", "bars")}
    rows_played = playback(Layout(home), DatasetId("btcusdt-sample"), INSTRUMENT, end_ms=None)
    candles = [candle for _, candle in islice(rows_played, bars)]
    for index, candle in enumerate(candles):
        if index not in twist.missing:
            rows["bars"].add({**_bar(candle), **twist.bars.get(index, {})})
    told = EngineOrderLog(folder / "work")
    with Journal(folder, SystemClock()) as journal:
        for payload in _told(of, candles, bars, twist):
            told.order_event(payload)
            journal.append_many([("order_event", payload)])
        journal.append_many([("engine_ended", {"engine_number": 1, "subscriptions": twist.subscriptions})])
    with LedgerFile(folder / VENUE_FOLDER, SystemClock()) as ledger:
        list(ledger.history())
        for at, events in _transactions(of, candles, bars, twist):
            ledger.append(events, at)
    send_rows(folder / VENUE_FOLDER, told, lambda name, row: rows[name].add(row), INSTRUMENT)
    for file in rows.values():
        file.commit()
    return ComparedRun(
        folder, _metadata(of.metadata, bars, twist), of.account, twist.decisions_kept, market_parameters=30
    )


def _metadata(of: RunMetadata, bars: int, twist: Twist) -> RunMetadata:
    facts = {
        "engines": (),
        "restarts": 0,
        "bars_expected": bars,
        "bars_seen": bars,
        "bars_missed": 0,
        "heartbeats": 0,
        "dropped_heartbeats": 0,
        "feeds": {},
        "reconciliations": Reconciliations(),
        "final_reconciliation": "ok",
        "final_account": None,
        "stop": StopFacts(reason="max_bars", on_stop="flatten"),
        "latencies": Latencies(),
        **twist.facts,
    }
    paper = PaperFacts.model_validate(facts)
    return of.with_changes(**{"run_id": "paper", "mode": "paper", "paper": paper, **twist.metadata})


def _bar(candle: Candle) -> Row:
    prices = {name: f"{Decimal(getattr(candle, name)) / 100:.2f}" for name in ("open", "high", "low", "close")}
    return {"ts_event": close_ns(candle.open_ms), **prices, "volume": f"{Decimal(candle.volume) / 1000:.3f}"}


def _orders(of: ComparedRun, candles: list[Candle], bars: int, twist: Twist) -> Iterator[tuple[int, int, Row]]:
    """(number, index of its bar, row) of the orders that are made."""
    first_ns = close_ns(candles[0].open_ms)
    for number, line in enumerate((of.folder / "orders.jsonl").read_text().splitlines()):
        row = json.loads(line)
        index = (row["ts_init"] - first_ns) // NS_PER_MINUTE
        if index < bars and number not in twist.unmade:
            yield number, index, row


def _told(of: ComparedRun, candles: list[Candle], bars: int, twist: Twist) -> Iterator[Row]:
    for number, index, row in _orders(of, candles, bars, twist):
        name = f"P-{number}"
        base = {"client_order_id": name, "strategy_id": "LAB-001", "ts_event": (WALL_MS + index) * 10**6}
        made = {
            "order_side": row["side"],
            "order_type": row["type"],
            "quantity": row["quantity"],
            "price": row["price"],
            "time_in_force": row["time_in_force"],
            "reduce_only": row["is_reduce_only"],
            "bar_ns": row["ts_init"],
        }
        yield {"type": "OrderInitialized", **base, **made, **twist.made.get(number, {})}
        if number in twist.never:
            yield {"type": twist.never[number], **base, "reason": "because"}
        else:
            yield {"type": "OrderSubmitted", **base}
            yield {"type": "OrderAccepted", **base, "venue_order_id": str(number + 1)}


def _transactions(
    of: ComparedRun, candles: list[Candle], bars: int, twist: Twist
) -> Iterator[tuple[Moment, list[Row]]]:
    opened = {"kind": "opened", "asset": "USDT", "symbol": "BTCUSDT", "balance": "100000", "leverage": 10}
    opened |= {"maker_fee": "0.0002", "taker_fee": "0.0005", "dataset": "sha256:" + "0" * 64, "time_ms": WALL_MS}
    yield Moment(0, 0), [opened]
    first_ns = close_ns(candles[0].open_ms)
    fills: dict[str, list[Row]] = {}
    for line in (of.folder / "fills.jsonl").read_text().splitlines():
        row = json.loads(line)
        fills.setdefault(row["client_order_id"], []).append(row)
    found: list[tuple[Moment, int, list[Row]]] = []
    for number, index, row in _orders(of, candles, bars, twist):
        if number in twist.never:
            continue
        accepted, time = Moment(index + 1, 0), {"order_id": number + 1, "time_ms": WALL_MS + index}
        if number in twist.late:
            accepted = Moment(accepted.minute + twist.late[number].minute, twist.late[number].tick)
        terms = {"side": row["side"], "type": row["type"], "time_in_force": "GTC", "quantity": row["quantity"]}
        terms |= {
            "price": row["price"],
            "reduce_only": row["is_reduce_only"],
            "client_order_id": f"x-aHRE4BCj-RP-{number}",
        }
        terms |= {name: twist.made.get(number, {}).get(name, value) for name, value in terms.items()}
        found.append((accepted, number, [{"kind": "accepted", **terms, **time}]))
        parts = fills.get(row["client_order_id"], [])
        for part in twist.fills.get(number, [_as_filled(part, accepted, first_ns) for part in parts]):
            at = Moment(part.pop("minute", accepted.minute), part.pop("tick", accepted.tick))
            if at.minute <= bars:
                found.append((at, number, [{**_FILL, **part, **time, "kind": "filled"}]))
        ended = (row["ts_last"] - first_ns) // NS_PER_MINUTE + 1
        canceled = twist.canceled.get(number, Moment(ended, 0) if row["status"] == "CANCELED" else None)
        if canceled is not None:
            canceled = min(canceled, Moment(bars, 0))  # at the end everything is taken back
            found.append((canceled, number, [{"kind": "canceled", **time}]))
    trade = 0
    for at, _, events in sorted(found, key=lambda one: (one[0], one[1])):
        for event in events:
            if event["kind"] == "filled":
                trade += 1
                event["trade_id"] = trade
        yield at, events


_FILL = {"maker": False, "realized": "0", "wallet": "0", "position": "0", "cost": "0"}


def _as_filled(part: Row, accepted: Moment, first_ns: int) -> Row:
    """At the same price. A resting order is filled within the minute at whose end the backtest fills it."""
    maker = part["liquidity_side"] == "MAKER"
    minute = (part["ts_event"] - first_ns) // NS_PER_MINUTE + 1
    moment = {"minute": minute - 1, "tick": 7} if maker else {"minute": accepted.minute, "tick": accepted.tick}
    values = {"price": part["last_px"], "quantity": part["last_qty"], "maker": maker}
    return {**values, "fee": part["commission"].split()[0], **moment}

"""Compare a paper run with another run on the same candles."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic_core import from_json

from opslab.datasets.dataset_records import list_datasets, verify_files
from opslab.datasets.playback import playback
from opslab.errors import LabError, NotFound
from opslab.model.checks.parity import BarsParity, DecisionsParity, FillsParity, LeftOut, Parity
from opslab.model.market.candle import Candle
from opslab.model.market.dataset import DatasetRecord
from opslab.model.market.instrument import Instrument, instrument_of
from opslab.model.messages.engine_messages import BARS
from opslab.model.primitives.ids import DatasetId
from opslab.model.primitives.instant import close_ns, iso, parse_minute
from opslab.model.run.metadata import RunMetadata
from opslab.model.spec.run_spec import AccountSpec
from opslab.resources import exchange_info_symbol
from opslab.runs.comparison.parity.bar_subscription import BarSubscription, bar_subscription
from opslab.runs.comparison.parity.bars import BarsSeen, all_bars, bars_parity, compare_bars, unknown_bars
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.decisions import CandleRange, causes_text, compare_decisions
from opslab.runs.comparison.parity.fills import FeeTerms, FillJudge
from opslab.runs.comparison.parity.orders import BacktestOrders, Orders, PaperOrders
from opslab.runs.comparison.parity.prefetch import ledger_minutes
from opslab.store.layout import Layout
from opslab.store.runs.run_folders import read_rows

MARGIN_CANDLES = 1_000
"""Candles after the last seen one that may still have orders of the shutdown."""
ALL_BARS_SEEN = frozenset({"max_bars", "end_of_data"})
"""Stop reasons of a paper run that saw all its bars."""


@dataclass(frozen=True)
class ComparedRun:
    """One of the two."""

    folder: Path
    metadata: RunMetadata
    account: AccountSpec
    decisions_kept: bool
    """Whether its journal has its orders."""
    market_parameters: Any
    """Parameters of its venue's simulated market besides the candles; None for a backtest."""

    @property
    def name(self) -> str:
        return self.metadata.run_id

    @property
    def paper(self) -> bool:
        return self.metadata.mode == "paper"

    @property
    def expected(self) -> int | None:
        """Number of bars a paper run must have seen; None: it was ended early."""
        facts = self.metadata.paper
        if facts is None or self.metadata.status != "completed":
            return None
        return facts.bars_expected if facts.stop and facts.stop.reason in ALL_BARS_SEEN else None

    @cached_property
    def bar_subscription(self) -> BarSubscription | None:
        return bar_subscription(self.folder, instrument_of(exchange_info_symbol(self.metadata.instrument)).bar_type)

    @property
    def without_bars(self) -> bool:
        """A paper run whose strategy subscribed to no bar: the engine missed none, or reported the subscriptions."""
        facts = self.metadata.paper
        if facts is None or facts.bars_seen != 0:
            return False
        return facts.bars_missed == 0 or self.bar_subscription == "none"


def parity(layout: Layout, a: ComparedRun, b: ComparedRun) -> Parity:
    """At least one of them is a paper run. Raises Corrupt for broken data or a broken ledger."""
    fingerprints = {run.metadata.dataset.fingerprint for run in (a, b) if run.metadata.dataset}
    if len(fingerprints) != 1:
        return _not_comparable(a, b, "the two runs used different candles", verdict="fail")
    try:
        data = _data(layout, fingerprints.pop())
    except LabError as error:
        return _not_comparable(a, b, error.message)
    instrument = instrument_of(exchange_info_symbol(a.metadata.instrument))
    candles = Candles(instrument, _candles(layout, data, instrument, a, b))
    bars_seen = [_bars_of(run, candles) for run in (a, b)]
    bars = [found for found, _ in bars_seen if found]
    first, end = max(_first(run, candles) for run in (a, b)), min(seen.end for _, seen in bars_seen)
    if first >= end:
        differ = any(each.outcome == "differ" for each in bars)
        return _not_comparable(a, b, "no bar was seen by both", tuple(bars), verdict="fail" if differ else "unknown")
    silent = [run.name for run in (a, b) if run.paper and not run.decisions_kept and _has_orders(run)]
    if silent:
        detail = f"{' and '.join(silent)} has no orders in its journal (observability.journal: false)"
        decisions, fills = _unknown(detail)
    else:
        terms = [FeeTerms(run.paper, run.account.fees.maker, run.account.fees.taker) for run in (a, b)]
        one_source = a.paper and b.paper and a.market_parameters == b.market_parameters
        judge = FillJudge(candles, end, terms[0], terms[1], one_source=one_source)
        orders = [_orders(run, candles) for run in (a, b)]
        seen = (bars_seen[0][1], bars_seen[1][1])
        one_start = _first(a, candles) == _first(b, candles)
        candle_range = CandleRange(first, end, one_start, by_time=a.without_bars or b.without_bars)
        counts = compare_decisions(candles, candle_range, orders[0], orders[1], seen, judge)
        decisions, fills = counts.decisions(), counts.fills()
    span = iso(candles.ts_ns(first)), iso(candles.ts_ns(end - 1))
    return _judged(a, b, tuple(bars), decisions, fills, span)


def _data(layout: Layout, fingerprint: str) -> DatasetId:
    """The dataset with that fingerprint, under whatever name. Raises NotFound, DataChanged, Corrupt."""
    for name, record in list_datasets(layout):
        if isinstance(record, DatasetRecord) and record.fingerprint == fingerprint:
            verify_files(layout, record)
            return DatasetId(name)
    raise NotFound(f"no dataset here has the candles of the two runs ({fingerprint})")


def _candles(
    layout: Layout, data: DatasetId, instrument: Instrument, a: ComparedRun, b: ComparedRun
) -> Iterator[Candle]:
    """From the earlier start to `MARGIN_CANDLES` after the last bar that a paper run saw or should have seen."""
    starts = [_start_ms(run) for run in (a, b)]
    start_ms = None if None in starts else min(start for start in starts if start is not None)
    last_ns = max((_last_ns(run) for run in (a, b) if run.paper), default=0)
    enough = max(_candles_needed(run) for run in (a, b)) + MARGIN_CANDLES
    left = MARGIN_CANDLES
    for row, candle in playback(layout, data, instrument, start_ms=start_ms):
        yield candle
        if row >= enough and close_ns(candle.open_ms) > last_ns:
            left -= 1
            if not left:
                return


def _candles_needed(run: ComparedRun) -> int:
    """Of a run without bars that was ended early: up to its last transaction."""
    if run.expected is None and run.without_bars:
        return ledger_minutes(run.folder)
    return run.expected or 0


def _start_ms(run: ComparedRun) -> int | None:
    data = run.metadata.dataset
    return parse_minute(data.start) if data and data.start else None


def _first(run: ComparedRun, candles: Candles) -> int:
    start_ms = _start_ms(run)
    return 0 if start_ms is None else candles.index_from(close_ns(start_ms))


def _bars(run: ComparedRun) -> Iterator[dict[str, Any]]:
    return (from_json(line) for _, line in read_rows(run.folder, BARS))


def _last_ns(run: ComparedRun) -> int:
    return max((row["ts_event"] for row in _bars(run)), default=0)


def _bars_of(run: ComparedRun, candles: Candles) -> tuple[BarsParity | None, BarsSeen]:
    first = _first(run, candles)
    if not run.paper:
        return None, all_bars(candles, first, run.metadata.dataset.rows if run.metadata.dataset else 0)
    if run.without_bars:
        detail = (
            "no bars received: its strategy did not subscribe to bars of one minute, and orders are compared by time"
        )
        return unknown_bars(run.name, detail), all_bars(candles, first, _candles_needed(run))
    seen = compare_bars(_bars(run), candles, first, run.expected)
    has_missed_none = run.metadata.paper is not None and run.metadata.paper.bars_missed == 0
    if seen.missing_bars and has_missed_none and run.bar_subscription == "partial":
        seen.move_missing_to_not_subscribed()
    return bars_parity(run.name, seen), seen


def _has_orders(run: ComparedRun) -> bool:
    return next(read_rows(run.folder, "orders"), None) is not None


def _orders(run: ComparedRun, candles: Candles) -> Orders:
    if run.paper:
        return PaperOrders(run.folder, candles, _first(run, candles), by_time=run.without_bars)
    return BacktestOrders(run.folder, candles, _first(run, candles))


def _unknown(detail: str) -> tuple[DecisionsParity, FillsParity]:
    return (
        DecisionsParity(outcome="unknown", message=detail, same=0, different=0, first=None, left_out=LeftOut()),
        FillsParity(outcome="unknown", message=detail, same=0, different=0, causes={}, differences=()),
    )


def _not_comparable(
    a: ComparedRun,
    b: ComparedRun,
    detail: str,
    bars: tuple[BarsParity, ...] | None = None,
    *,
    verdict: Literal["fail", "unknown"] = "unknown",
) -> Parity:
    found = bars if bars is not None else tuple(unknown_bars(run.name, detail) for run in (a, b) if run.paper)
    decisions, fills = _unknown(detail)
    return Parity(
        verdict=verdict,
        message=detail,
        first_bar=None,
        last_bar=None,
        bars=found,
        decisions=decisions,
        fills=fills,
    )


def _judged(
    a: ComparedRun,
    b: ComparedRun,
    bars: tuple[BarsParity, ...],
    decisions: DecisionsParity,
    fills: FillsParity,
    span: tuple[str, str],
) -> Parity:
    unfinished = [f"{run.name} is {run.metadata.status}" for run in (a, b) if run.metadata.status != "completed"]
    outcomes = [*(each.outcome for each in bars), decisions.outcome, fills.outcome]
    without_bars = any(run.without_bars for run in (a, b))
    verdict: Literal["pass", "fail", "unknown"] = "unknown"
    if "differ" in outcomes or "unexplained" in outcomes:
        verdict, message = "fail", _what_differs(bars, decisions, fills)
    elif unfinished:
        message = f"{' and '.join(unfinished)}; nothing differs unexplained as far as both have any"
    elif decisions.outcome == "unknown":
        message = decisions.message
    elif without_bars and not decisions.same:
        message = "nothing to compare: no bars received, and neither strategy created an order"
    else:
        verdict, message = "pass", _what_agrees(decisions, fills, without_bars=without_bars)
    return Parity.model_validate(
        {
            "verdict": verdict,
            "message": message,
            "first_bar": span[0],
            "last_bar": span[1],
            "bars": bars,
            "decisions": decisions,
            "fills": fills,
        }
    )


def _what_agrees(decisions: DecisionsParity, fills: FillsParity, *, without_bars: bool) -> str:
    bars = "no bars to compare" if without_bars else "same bars"
    if not decisions.same:
        return f"{bars}, no orders"
    if fills.outcome == "same":
        return f"{bars}, same decisions, same fills"
    return f"{bars}, same decisions, every differing fill explained: {causes_text(fills.causes)}"


def _what_differs(bars: tuple[BarsParity, ...], decisions: DecisionsParity, fills: FillsParity) -> str:
    texts = [f"bars of {each.run}: {each.message}" for each in bars if each.outcome == "differ"]
    if decisions.outcome == "differ":
        texts.append(f"decisions: {decisions.message}")
    if fills.outcome == "unexplained":
        texts.append(f"fills: {fills.message}")
    return "; ".join(texts)

"""The whole comparison of a paper run with another run on the same candles."""

from collections.abc import Iterator
from dataclasses import dataclass
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
from opslab.runs.comparison.parity.bars import BarsSeen, bars_parity, everything, look, unknown_bars
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.decisions import Stretch, side_by_side
from opslab.runs.comparison.parity.fills import FeeTerms, FillJudge
from opslab.runs.comparison.parity.orders import BacktestOrders, Orders, PaperOrders
from opslab.store.layout import Layout
from opslab.store.runs.run_folders import read_rows

MARGIN = 1_000
"""Candles behind the last that was seen, in which orders of the end may still be."""
ALL_SEEN = frozenset({"max_bars", "end_of_data"})
"""Endings of a paper run that has seen all that it asked for."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of the two."""

    folder: Path
    metadata: RunMetadata
    account: AccountSpec
    decisions_kept: bool
    """Its journal has its orders."""
    drawn: Any
    """What the market that its venue drew depends on beside the candles; None of a backtest."""

    @property
    def name(self) -> str:
        return self.metadata.run_id

    @property
    def paper(self) -> bool:
        return self.metadata.mode == "paper"

    @property
    def expected(self) -> int | None:
        """How many bars a paper run must have seen; None: it was ended earlier, by a bound or by force."""
        facts = self.metadata.paper
        if facts is None or self.metadata.status != "completed":
            return None
        return facts.bars_expected if facts.stop and facts.stop.reason in ALL_SEEN else None


def parity(layout: Layout, a: ComparedRun, b: ComparedRun) -> Parity:
    """At least one of them is a paper run. Raises Corrupt for broken data or a broken ledger."""
    fingerprints = {run.metadata.dataset.fingerprint for run in (a, b) if run.metadata.dataset}
    if len(fingerprints) != 1:
        return _nothing(a, b, "the two runs used different candles", verdict="fail")
    try:
        data = _data(layout, fingerprints.pop())
    except LabError as error:
        return _nothing(a, b, error.message)
    instrument = instrument_of(exchange_info_symbol(a.metadata.instrument))
    candles = Candles(instrument, _candles(layout, data, instrument, a, b))
    looks = [_seen(run, candles) for run in (a, b)]
    bars = [found for found, _ in looks if found]
    first, end = max(_first(run, candles) for run in (a, b)), min(seen.end for _, seen in looks)
    if first >= end:
        differ = any(each.outcome == "differ" for each in bars)
        return _nothing(a, b, "no bar was seen by both", tuple(bars), verdict="fail" if differ else "unknown")
    silent = [run.name for run in (a, b) if run.paper and not run.decisions_kept and _has_orders(run)]
    if silent:
        why = f"{' and '.join(silent)} kept no orders in its journal (observability.journal: false)"
        decisions, fills = _unknown(why)
    else:
        terms = [FeeTerms(run.paper, run.account.fees.maker, run.account.fees.taker) for run in (a, b)]
        judge = FillJudge(candles, end, terms[0], terms[1], one_source=a.paper and b.paper and a.drawn == b.drawn)
        orders = [_orders(run, candles) for run in (a, b)]
        seen = (looks[0][1], looks[1][1])
        tally = side_by_side(candles, Stretch(first, end), orders[0], orders[1], seen, judge)
        decisions, fills = tally.decisions(), tally.fills()
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
    """From the earlier start to somewhat behind the last bar that a paper run saw or should have seen."""
    starts = [_start_ms(run) for run in (a, b)]
    start_ms = None if None in starts else min(start for start in starts if start is not None)
    last_ns = max((_last_ns(run) for run in (a, b) if run.paper), default=0)
    enough = max(run.expected or 0 for run in (a, b)) + MARGIN
    left = MARGIN
    for row, candle in playback(layout, data, instrument, start_ms=start_ms):
        yield candle
        if row >= enough and close_ns(candle.open_ms) > last_ns:
            left -= 1
            if not left:
                return


def _start_ms(run: ComparedRun) -> int | None:
    data = run.metadata.dataset
    return parse_minute(data.start) if data and data.start else None


def _first(run: ComparedRun, candles: Candles) -> int:
    start_ms = _start_ms(run)
    return 0 if start_ms is None else candles.from_on(close_ns(start_ms))


def _bars(run: ComparedRun) -> Iterator[dict[str, Any]]:
    return (from_json(line) for _, line in read_rows(run.folder, BARS))


def _last_ns(run: ComparedRun) -> int:
    return max((row["ts_event"] for row in _bars(run)), default=0)


def _seen(run: ComparedRun, candles: Candles) -> tuple[BarsParity | None, BarsSeen]:
    first = _first(run, candles)
    if not run.paper:
        return None, everything(candles, first, run.metadata.dataset.rows if run.metadata.dataset else 0)
    seen = look(_bars(run), candles, first, run.expected)
    return bars_parity(run.name, seen), seen


def _has_orders(run: ComparedRun) -> bool:
    return next(read_rows(run.folder, "orders"), None) is not None


def _orders(run: ComparedRun, candles: Candles) -> Orders:
    if run.paper:
        return PaperOrders(run.folder, run.folder, candles, _first(run, candles))
    return BacktestOrders(run.folder, candles)


def _unknown(why: str) -> tuple[DecisionsParity, FillsParity]:
    return (
        DecisionsParity(outcome="unknown", message=why, same=0, different=0, first=None, left_out=LeftOut()),
        FillsParity(outcome="unknown", message=why, same=0, different=0, causes={}, differences=()),
    )


def _nothing(
    a: ComparedRun,
    b: ComparedRun,
    why: str,
    bars: tuple[BarsParity, ...] | None = None,
    *,
    verdict: Literal["fail", "unknown"] = "unknown",
) -> Parity:
    found = bars if bars is not None else tuple(unknown_bars(run.name, why) for run in (a, b) if run.paper)
    decisions, fills = _unknown(why)
    return Parity(
        verdict=verdict,
        message=why,
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
    if "differ" in outcomes or "unexplained" in outcomes:
        verdict, message = "fail", _what_differs(bars, decisions, fills)
    elif unfinished:
        verdict, message = "unknown", f"{' and '.join(unfinished)}; as far as both go, nothing differs unexplained"
    elif "unknown" in outcomes:
        verdict, message = "unknown", decisions.message
    else:
        same = fills.outcome == "same"
        verdict = "pass"
        message = f"the same bars, the same decisions, {'the same fills' if same else 'every other fill explained'}"
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


def _what_differs(bars: tuple[BarsParity, ...], decisions: DecisionsParity, fills: FillsParity) -> str:
    said = [f"bars of {each.run}: {each.message}" for each in bars if each.outcome == "differ"]
    if decisions.outcome == "differ":
        said.append(f"decisions: {decisions.message}")
    if fills.outcome == "unexplained":
        said.append(f"fills: {fills.message}")
    return "; ".join(said)

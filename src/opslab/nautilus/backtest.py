"""One backtest in the engine, streamed from a dataset's catalog."""

import time
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nautilus_trader.backtest import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestNode,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.common import Cache, LoggerConfig
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import InstrumentId, NautilusDataType, TraderId
from nautilus_trader.persistence import ParquetDataCatalog
from nautilus_trader.risk import RiskEngineConfig

from opslab.model.frame import EnginePlan
from opslab.model.instrument import VENUE, Instrument, instrument_of
from opslab.model.run import Failure, ScenarioCounters
from opslab.nautilus.canonical import fill_rows, order_rows, position_rows
from opslab.nautilus.guard import Guarded, Watch
from opslab.nautilus.instrument import ADAPTER_MARGIN, perpetual
from opslab.nautilus.scenarios import make

CHUNK_BARS = 100_000
_NODE = "backtest"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a backtest ended. `seconds` is the engine's run alone."""

    counters: ScenarioCounters
    denial_reasons: dict[str, int]
    seconds: float
    bars: int


def run(plan: EnginePlan, scenario: type[Guarded], watch: Watch) -> Outcome:
    """Run to the end of the data, to `watch.stop`, or to a failure, which stands in `watch.failure` then."""
    instrument = instrument_of(plan.symbol)
    _overlay(plan)
    node = BacktestNode([_config(plan, instrument)])
    node.build()
    node.add_strategy(_NODE, make(scenario, instrument, watch))
    watch.frames.send({"event": "engine_started", "payload": {"engine": "nautilus", "version": engine_version()}})
    payload = {"name": plan.scenario, "version": plan.scenario_version, "bar_type": plan.bar_type}
    watch.frames.send({"event": "scenario_registered", "payload": payload})
    began = time.perf_counter()
    try:
        node.run()
    except Exception as error:  # noqa: BLE001  (the engine raises plain RuntimeErrors, also for what on_start raised)
        if watch.failure is None:
            watch.failure = Failure(kind="engine", message=watch.clean(str(error)))
    seconds = time.perf_counter() - began
    watch.frames.send({"ended": {"bars": watch.bars}})
    counters, reasons = _report(node.get_engine_cache(_NODE), watch)
    return Outcome(counters=counters, denial_reasons=reasons, seconds=seconds, bars=watch.bars)


def engine_version() -> str:
    return version("nautilus-trader")


def _overlay(plan: EnginePlan) -> None:
    """A catalog of the instrument beside the dataset's bars: one source of the instrument, and no copy of the bars."""
    root = Path(plan.work_path)
    (root / "data").mkdir(parents=True, exist_ok=True)
    ParquetDataCatalog(str(root)).write_instruments([perpetual(plan.symbol)])
    (root / "data" / "bars").symlink_to(plan.bars_path, target_is_directory=True)


def _config(plan: EnginePlan, instrument: Instrument) -> BacktestRunConfig:
    instrument_id = InstrumentId.from_str(instrument.instrument_id)
    account, limits = plan.account, plan.limits
    venue = BacktestVenueConfig(
        name=VENUE,
        oms_type="NETTING",
        account_type="MARGIN",
        starting_balances=list(account.starting_balances),
        # The engine asks notional / leverage * margin_init; this makes it notional / leverage, as the venue does.
        default_leverage=Decimal(account.leverage) * ADAPTER_MARGIN,
        fee_model=MakerTakerFeeModel(Decimal(account.maker_fee), Decimal(account.taker_fee)),
    )
    engine = BacktestEngineConfig(
        trader_id=TraderId("OPSLAB-001"),
        run_analysis=False,
        logging=LoggerConfig(bypass_logging=True),
        risk_engine=RiskEngineConfig(
            max_order_submit_rate=f"{limits.max_orders_per_second}/00:00:01",
            max_notional_per_order={str(instrument_id): limits.max_notional_per_order},
        ),
    )
    data = BacktestDataConfig(
        data_type=NautilusDataType.Bar,
        catalog_path=plan.work_path,
        instrument_id=instrument_id,
        bar_types=[plan.bar_type],
    )
    return BacktestRunConfig(
        venues=[venue],
        data=[data],
        engine=engine,
        id=_NODE,
        chunk_size=CHUNK_BARS,
        raise_exception=True,
        dispose_on_completion=False,
    )


def _report(cache: Cache, watch: Watch) -> tuple[ScenarioCounters, dict[str, int]]:
    """Send the canonical rows up and count them."""
    orders = cache.orders()
    ordered = order_rows(orders)
    fills = fill_rows(orders)
    positions = position_rows([*cache.position_snapshots(), *cache.positions()])
    for file, rows in (("orders", ordered), ("fills", fills), ("positions", positions)):
        for row in rows:
            watch.frames.send({"row": row, "file": file})
    reasons: dict[str, int] = {}
    for row in ordered:
        if row["status"] == "DENIED":
            reason = str(row.get("reason", "unknown")).partition(":")[0]
            reasons[reason] = reasons.get(reason, 0) + 1
    counters = ScenarioCounters(
        strategy_registered=1,
        bars_seen=watch.bars,
        deterministic_action_triggered=watch.actions,
        orders_submitted=watch.counts.get("OrderSubmitted", 0),
        fills_count=len(fills),
        orders_denied=_with_status(ordered, "DENIED"),
        orders_rejected=_with_status(ordered, "REJECTED"),
        orders_canceled=_with_status(ordered, "CANCELED"),
    )
    return counters, reasons


def _with_status(rows: list[dict[str, Any]], status: str) -> int:
    return sum(row["status"] == status for row in rows)

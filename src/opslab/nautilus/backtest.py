"""One backtest in the engine, streamed from a dataset's catalog."""

import time
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from nautilus_trader.backtest import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestNode,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.common import LoggerConfig
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import InstrumentId, NautilusDataType, TraderId
from nautilus_trader.persistence import ParquetDataCatalog
from nautilus_trader.risk import RiskEngineConfig

from opslab.model.market.instrument import VENUE, Instrument, instrument_of
from opslab.model.messages.engine_messages import EnginePlan, ScenarioPlan
from opslab.model.run.metadata import Failure, ScenarioCounters
from opslab.nautilus.instrument import ADAPTER_MARGIN, perpetual
from opslab.nautilus.stop_actor import StopActor
from opslab.nautilus.strategy.guarded import Guarded, StrategyRecorder, replaced

CHUNK_BARS = 100_000
_NODE = "backtest"


@dataclass(frozen=True, slots=True)
class EngineOutcome:
    """How a backtest ended. `seconds` is the engine's run alone."""

    counters: ScenarioCounters
    denial_reasons: dict[str, int]
    seconds: float
    bars: int


def run(plan: EnginePlan, strategy: Guarded, recorder: StrategyRecorder) -> EngineOutcome:
    """Run to the end of the data, to `watch.stop`, or to a failure, which stands in `watch.failure` then."""
    instrument = instrument_of(plan.symbol)
    _overlay(plan)
    node = BacktestNode([_config(plan, instrument)])
    node.build()
    if not isinstance(plan.strategy, ScenarioPlan):  # which may not look at bars at all
        node.add_actor(_NODE, StopActor(recorder))
    node.add_strategy(_NODE, strategy)
    recorder.messages.send({"event": "engine_started", "payload": {"engine": "nautilus", "version": engine_version()}})
    payload = {**_named(plan), "bar_type": plan.bar_type}
    recorder.messages.send({"event": "scenario_registered", "payload": payload})
    began = time.perf_counter()
    try:
        node.run()
    except Exception as error:  # noqa: BLE001  (the engine raises plain RuntimeErrors, also for what on_start raised)
        if recorder.failure is None:
            recorder.failure = Failure(kind="engine", message=recorder.redact(str(error)))
    seconds = time.perf_counter() - began
    if "on_stop" in strategy._opslab_handlers:
        recorder.catch_up(node.get_engine_cache(_NODE).orders())
    early = recorder.stopped and recorder.bars < plan.rows
    for name in replaced(strategy):
        if recorder.failure is None:
            message = f"the strategy put another {name} in place of its own while it ran: nobody saw what that did"
            recorder.failure = Failure(kind="strategy", message=message)
    recorder.messages.send({"ended": {"bars": recorder.bars, "early": early}})
    counters, reasons = report(recorder)
    return EngineOutcome(counters=counters, denial_reasons=reasons, seconds=seconds, bars=recorder.bars)


def _named(plan: EnginePlan) -> dict[str, str]:
    asked = plan.strategy
    if isinstance(asked, ScenarioPlan):
        return {"name": asked.name, "version": asked.version}
    return {"path": asked.path, **({"config_path": asked.config_path} if asked.config_path else {})}


def engine_version() -> str:
    return version("nautilus-trader")


def bars_link(plan: EnginePlan) -> Path:
    """Where the engine looks for the dataset's bars: a link to them, to be made before `run`."""
    return Path(plan.work_path, "data", "bars")


def _overlay(plan: EnginePlan) -> None:
    """A catalog of the instrument beside the dataset's bars: one source of the instrument, and no copy of the bars."""
    ParquetDataCatalog(plan.work_path).write_instruments([perpetual(plan.symbol)])


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
        start_time=plan.start_ns,
        end_time=plan.end_ns,
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


def report(recorder: StrategyRecorder) -> tuple[ScenarioCounters, dict[str, int]]:
    """Send the rows of what is still open, and count everything."""
    results = recorder.results
    results.finish()
    reasons = dict(results.denials)
    if recorder.gated:
        reasons["KILL_SWITCH" if recorder.halted else "RUN_IS_ENDING"] = recorder.gated
    counters = ScenarioCounters(
        strategy_registered=1,
        bars_seen=recorder.bars,
        deterministic_action_triggered=recorder.actions,
        orders_submitted=recorder.counts.get("OrderSubmitted", 0),
        fills_count=results.fills,
        orders_denied=results.statuses.get("DENIED", 0),
        orders_rejected=results.statuses.get("REJECTED", 0),
        orders_canceled=results.statuses.get("CANCELED", 0),
    )
    return counters, reasons

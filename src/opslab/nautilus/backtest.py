"""Run one backtest in the engine, streamed from a dataset's catalog."""

import time
from decimal import Decimal
from pathlib import Path

from nautilus_trader.backtest import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestNode,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import InstrumentId, NautilusDataType, TraderId
from nautilus_trader.persistence import ParquetDataCatalog
from nautilus_trader.risk import RiskEngineConfig

from opslab.model.market.instrument import VENUE, Instrument, instrument_of
from opslab.model.messages.engine_messages import EnginePlan, ScenarioPlan
from opslab.model.run.metadata import Failure
from opslab.nautilus.engine_log import logger_config
from opslab.nautilus.instrument import ADAPTER_MARGIN, perpetual
from opslab.nautilus.outcome import EngineOutcome, finish, report_start
from opslab.nautilus.stop_actor import StopActor
from opslab.nautilus.strategy.guarded import Guarded, StrategyRecorder, replacement_failure

CHUNK_BARS = 100_000
_NODE = "backtest"


def run(plan: EnginePlan, strategy: Guarded, recorder: StrategyRecorder) -> EngineOutcome:
    """Run to the end of the data, to `recorder.stop_requested`, or to a failure, then in `recorder.failure`."""
    instrument = instrument_of(plan.symbol)
    write_instrument(plan)
    node = BacktestNode([run_config(plan, instrument)])
    node.build()
    if not isinstance(plan.strategy, ScenarioPlan):  # a user strategy may not subscribe to bars at all
        node.add_actor(_NODE, StopActor(recorder))
    node.add_strategy(_NODE, strategy)
    report_start(plan, recorder)
    started_at = time.perf_counter()
    try:
        node.run()
    except Exception as error:  # noqa: BLE001  (the engine raises plain RuntimeErrors, also for exceptions of on_start)
        if recorder.failure is None:
            recorder.failure = Failure(kind="engine", message=recorder.redact(str(error)))
    seconds = time.perf_counter() - started_at
    if "on_stop" in strategy._opslab_handlers:
        recorder.record_missed_events(node.get_engine_cache(_NODE).orders())
    recorder.failure = recorder.failure or replacement_failure(strategy)
    return finish(recorder, early=recorder.stop_requested, seconds=seconds)


def bars_link(plan: EnginePlan) -> Path:
    """Where the engine reads the dataset's bars: the caller of `run` links this path to them first."""
    return Path(plan.work_path, "data", "bars")


def write_instrument(plan: EnginePlan) -> None:
    """Write a catalog with the instrument alone: one source of the instrument, and no copy of the bars."""
    ParquetDataCatalog(plan.work_path).write_instruments([perpetual(plan.symbol)])


def run_config(plan: EnginePlan, instrument: Instrument) -> BacktestRunConfig:
    instrument_id = InstrumentId.from_str(instrument.instrument_id)
    account, limits = plan.account, plan.limits
    venue = BacktestVenueConfig(
        name=VENUE,
        oms_type="NETTING",
        account_type="MARGIN",
        starting_balances=list(account.starting_balances),
        # The engine reserves notional / leverage * margin_init; this makes it notional / leverage, as at the venue.
        default_leverage=Decimal(account.leverage) * ADAPTER_MARGIN,
        fee_model=MakerTakerFeeModel(Decimal(account.maker_fee), Decimal(account.taker_fee)),
    )
    engine = BacktestEngineConfig(
        trader_id=TraderId("OPSLAB-001"),
        run_analysis=False,
        logging=logger_config(plan.log_level),
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

"""usage: bare_node.py BARS_FOLDER PRICE_DECIMALS SIZE_DECIMALS WORK_FOLDER

The yardstick of a backtest: the engine's own BacktestNode with a plain strategy that counts bars, on the bar files that
the lab wrote. Prints {"bars": ..., "seconds": ...}; the seconds are those of `node.run()` alone.
"""

import json
import sys
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
from nautilus_trader.common import LoggerConfig
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import (
    Bar,
    BarType,
    CryptoPerpetual,
    Currency,
    InstrumentId,
    NautilusDataType,
    Price,
    Quantity,
    StrategyId,
    Symbol,
    TraderId,
)
from nautilus_trader.persistence import ParquetDataCatalog
from nautilus_trader.trading import Strategy, StrategyConfig

CHUNK_BARS = 100_000
"""Chunk size of the lab; the fastest with the least memory of all that were tried."""
RUN = "bare"


class CountsBars(Strategy):
    """Subscribes to one bar type and counts."""

    bar_type: BarType
    bars = 0

    def on_start(self) -> None:
        self.subscribe_bars(self.bar_type)

    def on_bar(self, _bar: Bar) -> None:
        self.bars += 1


def perpetual(instrument_id: InstrumentId, price_decimals: int, size_decimals: int) -> CryptoPerpetual:
    usdt = Currency.from_str("USDT")
    return CryptoPerpetual(
        instrument_id=instrument_id,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=Currency.from_str("BTC"),
        quote_currency=usdt,
        settlement_currency=usdt,
        is_inverse=False,
        price_precision=price_decimals,
        size_precision=size_decimals,
        price_increment=Price.from_str(str(Decimal(1).scaleb(-price_decimals))),
        size_increment=Quantity.from_str(str(Decimal(1).scaleb(-size_decimals))),
        ts_event=0,
        ts_init=0,
    )


def config(catalog: Path, bar_type: BarType) -> BacktestRunConfig:
    venue = BacktestVenueConfig(
        name="BINANCE",
        oms_type="NETTING",
        account_type="MARGIN",
        starting_balances=["100000 USDT"],
        fee_model=MakerTakerFeeModel(Decimal("0.0002"), Decimal("0.0005")),
    )
    data = BacktestDataConfig(
        data_type=NautilusDataType.Bar,
        catalog_path=str(catalog),
        instrument_id=bar_type.instrument_id,
        bar_types=[str(bar_type)],
    )
    logging = LoggerConfig(bypass_logging=True)
    engine = BacktestEngineConfig(trader_id=TraderId("BARE-001"), run_analysis=False, logging=logging)
    return BacktestRunConfig(
        venues=[venue],
        data=[data],
        engine=engine,
        id=RUN,
        chunk_size=CHUNK_BARS,
        raise_exception=True,
        dispose_on_completion=False,
    )


def write_catalog(bars_folder: Path, price_decimals: int, size_decimals: int, work: Path) -> None:
    """A catalog in `work` with the instrument, and a link to the bars."""
    (work / "data").mkdir(parents=True)
    (work / "data" / "bars").symlink_to(bars_folder.parent, target_is_directory=True)
    instrument = perpetual(BarType.from_str(bars_folder.name).instrument_id, price_decimals, size_decimals)
    ParquetDataCatalog(str(work)).write_instruments([instrument])


def main(bars_folder: Path, price_decimals: int, size_decimals: int, work: Path) -> None:
    bar_type = BarType.from_str(bars_folder.name)
    write_catalog(bars_folder, price_decimals, size_decimals, work)
    strategy = CountsBars(StrategyConfig(strategy_id=StrategyId("BARE-001")))
    strategy.bar_type = bar_type
    node = BacktestNode([config(work, bar_type)])
    node.build()
    node.add_strategy(RUN, strategy)
    started_s = time.perf_counter()
    node.run()
    print(json.dumps({"bars": strategy.bars, "seconds": time.perf_counter() - started_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

from pathlib import Path

import pyarrow as pa
import pytest

from opslab.datasets.quality.series import interval_of, interval_text, is_symbol, name_claims, other_symbols


@pytest.mark.parametrize(
    ("path", "symbol", "interval", "market"),
    [
        ("BTCUSDT-1m-2024-05-01.zip", "BTCUSDT", "1m", None),
        ("ETHUSDT-5m-2024-05.csv", "ETHUSDT", "5m", None),
        ("ethusdt_15m.csv.gz", "ETHUSDT", "15m", None),
        ("ETH-USDT-1h.parquet", "ETHUSDT", "1h", None),
        ("BTCUSD_PERP-1m-2024-05.zip", "BTCUSD", "1m", None),
        ("BTCUSDT_240628-1m-2024-05.zip", "BTCUSDT_240628", "1m", None),
        ("BTCUSDT_240501.csv", "BTCUSDT", None, None),
        ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip", "BTCUSDT", "1m", "spot"),
        ("futures/um/markPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2025-01.zip", "BTCUSDT", "1m", "price_index"),
        ("candles.csv", None, None, None),
        ("one-day.csv", None, None, None),
        ("2024-05-01.csv", None, None, None),
        ("my-20d-sample.csv", None, None, None),
    ],
)
def test_the_claims_of_a_file_name(path: str, symbol: str | None, interval: str | None, market: str | None) -> None:
    claims = name_claims(Path(path))
    assert (claims.symbol, claims.market) == (symbol, market)
    assert claims.interval_ms == (interval_of(interval) if interval else None)


def test_intervals() -> None:
    assert [interval_of(text) for text in ("1m", "5M", "1M", "60m", "1h", "1w", "7m", "x", "")] == [
        60_000, 300_000, None, 3_600_000, 3_600_000, 604_800_000, None, None, None,
    ]  # fmt: skip
    assert [interval_text(ms) for ms in (1_000, 300_000, 3_600_000, 604_800_000)] == [
        "1-second",
        "5-minute",
        "1-hour",
        "7-day",
    ]


def test_symbols_in_other_notations() -> None:
    for text in ("BTCUSDT", "btcusdt", "BTC/USDT", "BTC/USDT:USDT", "BTCUSDT-PERP.BINANCE", "BTC-USDT-SWAP"):
        assert is_symbol(text, "BTCUSDT"), text
    for text in ("ETHUSDT", "BTCUSDC", "BTCUSD", "1BTCUSDT", "BTCUSDT2"):
        assert not is_symbol(text, "BTCUSDT"), text


def test_the_first_row_of_each_other_symbol() -> None:
    rows = pa.array(["BTCUSDT", "ETHUSDT", None, "ETHUSDT", "SOLUSDT", ""])
    others = other_symbols(rows, "BTCUSDT")
    assert others is not None
    assert others.to_pylist() == [False, True, False, False, True, False]
    assert other_symbols(rows.slice(0, 1), "BTCUSDT") is None

"""Which subscriptions a backtest and a paper run cannot serve."""

import pytest

from opslab.nautilus.strategy.served_data import STEPS, backtest_check, paper_check
from opslab.venue.market.klines import INTERVALS

P = "BTCUSDT-PERP.BINANCE"
OWN = f"{P}-1-MINUTE-LAST-EXTERNAL"
OTHER = "ETHUSDT-PERP.BINANCE"
EMPTY, UNTRUTHFUL = "subscription_empty", "subscription_untruthful"
KINDS = ("quotes", "trades", "book_deltas", "book_depth", "book_at_interval", "mark_prices", "index_prices")


@pytest.mark.parametrize(
    ("subject", "backtest", "paper"),
    [
        (OWN, None, None),
        (f"{P}-5-MINUTE-LAST-EXTERNAL", EMPTY, None),
        (f"{P}-7-MINUTE-LAST-EXTERNAL", EMPTY, EMPTY),
        (f"{P}-1-MINUTE-BID-EXTERNAL", EMPTY, EMPTY),
        (f"{P}-5-MINUTE-LAST-INTERNAL@1-MINUTE-EXTERNAL", None, UNTRUTHFUL),
        (f"{P}-1-HOUR-LAST-INTERNAL@5-MINUTE-INTERNAL", None, UNTRUTHFUL),
        (f"{P}-1-HOUR-LAST-INTERNAL@5-MINUTE-EXTERNAL", EMPTY, UNTRUTHFUL),
        (f"{P}-5-MINUTE-LAST-INTERNAL", EMPTY, UNTRUTHFUL),
        (f"{P}-5-MINUTE-MID-INTERNAL", EMPTY, UNTRUTHFUL),
        (f"{P}-100-TICK-LAST-INTERNAL", EMPTY, None),
        (f"{OTHER}-1-MINUTE-LAST-EXTERNAL", EMPTY, EMPTY),
    ],
)
def test_bars(subject: str, backtest: str | None, paper: str | None) -> None:
    assert backtest_check(OWN)("bars", subject) == backtest
    assert [paper_check(OWN, speed)("bars", subject) for speed in (600.0, None)] == [paper, paper]
    assert paper_check(OWN, 1.0)("bars", subject) == (None if paper == UNTRUTHFUL else paper)


@pytest.mark.parametrize("kind", KINDS)
def test_other_market_data_is_served_by_a_venue_alone_and_for_its_instrument(kind: str) -> None:
    assert backtest_check(OWN)(kind, P) == EMPTY
    assert [paper_check(OWN, 600)(kind, subject) for subject in (P, OTHER)] == [None, EMPTY]


@pytest.mark.parametrize("kind", ["data", "signal", "instrument"])
def test_data_that_is_not_of_the_market_is_judged_by_what_arrives(kind: str) -> None:
    assert (backtest_check(OWN)(kind, "Own"), paper_check(OWN, None)(kind, "Own")) == (None, None)


def test_the_bars_of_a_paper_run_are_the_candles_of_the_venue() -> None:
    letters = {"MINUTE": "m", "HOUR": "h", "DAY": "d"}
    assert {f"{step}{letters[name]}" for name, steps in STEPS.items() for step in steps} == set(INTERVALS)

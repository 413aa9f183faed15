"""`tc run compare` of a backtest and a paper run of one strategy: refusals, an IOC, orders without bars, warnings."""

from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import Tc

STRATEGY = '''
from nautilus_trader.model import BarType, InstrumentId, OrderSide, Price, Quantity, TimeInForce
from nautilus_trader.trading import Strategy

IID = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
Q = Quantity.from_str("0.010")


class Bars(Strategy):
    """No order of it is ever filled."""

    number = 0

    def on_start(self):
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar):
        self.number += 1
        above, below = (Price.from_str(f"{round(float(bar.close) + change):.2f}") for change in (500, -500))
        if self.number == 2:  # the matching engine: in the market; the venue: -1116, no such type
            self.submit_order(self.order_factory.stop_market(IID, OrderSide.SELL, Q, above))
        if self.number == 3:  # CANCELED in a backtest, EXPIRED at the venue
            self.submit_order(self.order_factory.limit(IID, OrderSide.BUY, Q, below, time_in_force=TimeInForce.IOC))
        if self.number == 4:  # refused by both as a taker
            self.submit_order(self.order_factory.limit(IID, OrderSide.BUY, Q, above, post_only=True))
        if self.number == 5:
            self.resting = self.order_factory.limit(IID, OrderSide.BUY, Q, below)
            self.submit_order(self.resting)
        if self.number == 6:  # the order of both runs has its new price
            self.modify_order(self.resting.client_order_id, price=below)


class Quotes(Strategy):
    number = 0

    def on_start(self):
        self.subscribe_quotes(IID)

    def on_quote(self, quote):
        self.number += 1
        if self.number % 40 == 1:
            side = OrderSide.BUY if self.portfolio.is_net_flat(IID) else OrderSide.SELL
            self.submit_order(self.order_factory.market(IID, side, Q))
'''
BARS = 8


@pytest.fixture
def run(tc: Tc, tmp_path: Path) -> Any:
    """Runs a class of the strategy's file."""
    (tmp_path / "mine.py").write_text(STRATEGY)

    def start(command: str, name: str, run_id: str) -> Any:
        paper = {"mode": "paper", "paper": {"speed": "max", "max_bars": BARS}} if command == "paper" else {}
        data = {"dataset": "btcusdt-sample", "end": "2024-01-01T00:30:00Z"}
        spec = tc.own_spec(tmp_path, {"path": f"mine:{name}"}, data=data, **paper)
        return tc.json("run", command, "--spec", spec, "--run-id", run_id)

    return start


def test_refusals_for_different_reasons_have_a_cause_and_an_ioc_has_one_outcome(tc: Tc, run: Any) -> None:
    warnings = {
        run_id: run(command, "Bars", run_id)["warnings"] for command, run_id in (("backtest", "bt"), ("paper", "pp"))
    }
    found = tc("run", "compare", "bt", "pp", "--json")
    fills = found.document["parity"]["fills"]
    assert (found.code, fills["outcome"], fills["same"], fills["different"]) == (0, "explained", 3, 1)
    assert fills["causes"] == {"refused_for_another_reason": 1}
    (difference,) = fills["differences"]
    assert ("in the market" in difference["before"], "-1116" in difference["after"]) == (True, True)
    pairs = {pair["code"]: [pair["a"], pair["b"]] for pair in found.document["warnings"]}
    expected = [{each["code"]: each for each in warnings[run_id]} for run_id in ("bt", "pp")]
    assert pairs == {code: [side.get(code) for side in expected] for code in {**expected[0], **expected[1]}}
    assert "orders_rejected" in pairs
    text = tc("run", "compare", "bt", "pp").out
    results = f"every differing fill explained: refused_for_another_reason 1; warnings: {', '.join(pairs)}"
    assert results in text
    assert "3 orders have equal outcomes (1 refused in both runs for one reason), 1 differ" in text


def test_orders_of_a_strategy_without_bars_are_compared(tc: Tc, run: Any) -> None:
    run("backtest", "Quotes", "bt")
    for run_id in ("p1", "p2"):
        assert run("paper", "Quotes", run_id)["metrics"]["fills_count"] > 0
    with_backtest = tc("run", "compare", "bt", "p1", "--json").document
    assert (with_backtest["results"], with_backtest["parity"]["decisions"]["outcome"]) == ("differ", "differ")
    assert with_backtest["parity"]["decisions"]["different"] > 0
    assert "subscription_empty" in {pair["code"] for pair in with_backtest["warnings"] if pair["b"] is None}
    parity = tc("run", "compare", "p1", "p2", "--json").document["parity"]
    assert [bars["missing"] for bars in parity["bars"]] == [0, 0]
    assert parity["decisions"]["same"] + parity["decisions"]["different"] > 0
    assert parity["decisions"]["left_out"]["before_first_bar"] == 0

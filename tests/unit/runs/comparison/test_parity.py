"""A paper run beside a backtest: the same when it is, and each thing that is not, found and explained."""

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from opslab.model.checks.parity import Parity
from opslab.ports import Moment
from opslab.runs.comparison.parity.parity import ComparedRun, parity
from opslab.store.layout import Layout
from tests.drivers.tc import Tc
from tests.unit.runs.comparison.twin import INSTRUMENT, Twist, backtest, twin

BARS = 30
ENTRY, LIMIT, CLOSE = 0, 1, 2
"""The first orders of the scenario, as numbers."""
FILLED_LIMIT = 19
"""The first limit order that the backtest fills; it is counted by a test below."""


@pytest.fixture(scope="module")
def home(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a backtest of the first hour."""
    home = tmp_path_factory.mktemp("parity") / "home"
    shutil.copytree(sample_home, home)
    tc = Tc(home)
    data = {"dataset": "btcusdt-sample", "end": "2024-01-01T01:00:00Z"}
    tc.ok("run", "backtest", "--spec", tc.spec(strategy="order_lifecycle_demo", data=data), "--run-id", "bt")
    return home


@pytest.fixture
def bt(home: Path) -> ComparedRun:
    return backtest(home, "bt")


def compared(home: Path, tmp_path: Path, count: int = BARS, **twists: Any) -> Parity:
    of = backtest(home, "bt")
    return parity(Layout(home), of, twin(of, home, tmp_path / "paper", count, Twist(**twists)))


def found(result: Parity) -> set[tuple[str, str, str]]:
    """(order, what, cause)."""
    return {(each.b, each.field, each.cause) for each in result.fills.differences}


def close_of(bt: ComparedRun, number: int) -> Decimal:
    """The price at which the backtest filled that order: the close of its bar, or the limit."""
    line = (bt.folder / "orders.jsonl").read_text().splitlines()[number]
    return Decimal(json.loads(line)["avg_px"])


def fee(price: Decimal, quantity: str, rate: str = "0.0005") -> str:
    return f"{price * Decimal(quantity) * Decimal(rate):.8f}"


def test_a_twin_is_the_same_in_everything(home: Path, tmp_path: Path) -> None:
    result = compared(home, tmp_path)
    assert (result.verdict, result.fills.outcome, result.fills.different) == ("pass", "same", 0)
    assert (result.bars[0].outcome, result.bars[0].same) == ("same", BARS)
    assert result.decisions.same == 45
    assert (result.first_bar, result.last_bar) == ("2024-01-01T00:00:59.999000Z", "2024-01-01T00:29:59.999000Z")


def test_either_may_be_named_first(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    paper = twin(bt, home, tmp_path / "paper", BARS, Twist())
    assert parity(Layout(home), paper, bt).verdict == "pass"


def test_missing_bars_are_listed_as_ranges_and_their_orders_left_out(home: Path, tmp_path: Path) -> None:
    entries = {number for index in (4,) for number in (index * 3 // 2, index * 3 // 2 + 1)}
    unmade = entries | {(index * 3 + 1) // 2 for index in (5, 9, 29)}
    result = compared(home, tmp_path, missing={4, 5, 9, 29}, unmade=unmade)
    (bars,) = result.bars
    assert (result.verdict, bars.outcome, bars.missing, bars.same) == ("fail", "differ", 4, 26)
    assert [(each.first[11:16], each.last[11:16], each.bars) for each in bars.missing_ranges] == [
        ("00:04", "00:05", 2),
        ("00:09", "00:09", 1),
        ("00:29", "00:29", 1),
    ]
    assert result.decisions.outcome == "same"
    assert result.decisions.left_out.at_missing_bars == len(unmade)


def test_what_is_filled_behind_the_last_bar_is_not_compared(home: Path, tmp_path: Path) -> None:
    """The backtest goes on, and fills that limit order in the next minute."""
    assert compared(home, tmp_path, count=13).fills.outcome == "same"
    shutil.rmtree(tmp_path / "paper")
    assert compared(home, tmp_path, count=13, fills={FILLED_LIMIT: []}).fills.outcome == "same"


def test_an_order_of_the_last_bar_that_came_late_is_compared(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, ENTRY)
    part = {"price": f"{price:f}", "quantity": "0.005", "fee": fee(price, "0.005")}
    result = compared(home, tmp_path, count=1, fills={ENTRY: [part]}, late={ENTRY: Moment(0, 3)})
    assert (result.decisions.same, result.fills.outcome) == (2, "same")


def test_bars_behind_an_early_end_are_not_missing(home: Path, tmp_path: Path) -> None:
    facts = {"bars_expected": 60, "stop": {"reason": "max_seconds", "on_stop": "flatten"}}
    assert compared(home, tmp_path, facts=facts).verdict == "pass"


def test_bars_behind_the_last_are_missing_where_all_were_to_be_seen(home: Path, tmp_path: Path) -> None:
    result = compared(home, tmp_path, facts={"bars_expected": 33})
    assert [(each.first[11:16], each.bars) for each in result.bars[0].missing_ranges] == [("00:30", 3)]
    assert result.verdict == "fail"


def subscription(bar_type: str, *, partial: bool = False) -> dict[str, Any]:
    return {"kind": "bars", "subject": bar_type, "count": 1, "partial": partial}


@pytest.mark.parametrize(
    ("facts", "subscriptions", "missing", "not_subscribed"),
    [
        ({}, [subscription(INSTRUMENT.bar_type, partial=True)], 0, 26),
        ({}, [subscription(INSTRUMENT.bar_type)], 26, 0),
        ({}, [], 26, 0),
        ({"bars_missed": 1}, [subscription(INSTRUMENT.bar_type, partial=True)], 26, 0),
    ],
)
def test_bars_to_which_the_strategy_was_not_subscribed_are_not_missing(
    home: Path,
    tmp_path: Path,
    facts: dict[str, Any],
    subscriptions: list[dict[str, Any]],
    missing: int,
    not_subscribed: int,
) -> None:
    unseen = set(range(4, BARS))
    unmade = set(range(6, 45))
    result = compared(home, tmp_path, missing=unseen, unmade=unmade, facts=facts, subscriptions=subscriptions)
    (bars,) = result.bars
    assert (bars.missing, bars.not_subscribed, bars.same) == (missing, not_subscribed, 4)
    assert (bars.outcome, result.verdict) == (("differ", "fail") if missing else ("same", "pass"))


def test_a_strategy_subscribed_to_other_bars_missed_none(home: Path, tmp_path: Path) -> None:
    facts = {"bars_seen": 0, "bars_missed": 1}
    other = [subscription("BTCUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL")]
    (bars,) = compared(home, tmp_path, missing=set(range(BARS)), facts=facts, subscriptions=other).bars
    assert (bars.outcome, bars.missing) == ("unknown", 0)


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
def test_a_bar_with_another_value_is_shown_field_by_field(home: Path, tmp_path: Path, name: str) -> None:
    result = compared(home, tmp_path, bars={7: {name: "1.00"}})
    first = result.bars[0].first
    assert first
    assert (first.bar[11:16], [each.field for each in first.differences]) == ("00:07", [name])
    assert (result.verdict, result.bars[0].different) == ("fail", 1)


def test_a_bar_that_comes_twice_is_out_of_place(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    paper = twin(bt, home, tmp_path / "paper", BARS, Twist())
    lines = (paper.folder / "bars.jsonl").read_text().splitlines()
    (paper.folder / "bars.jsonl").write_text("\n".join([*lines[:5], lines[3], *lines[5:], ""]))
    result = parity(Layout(home), bt, paper)
    assert (result.bars[0].unexpected, result.bars[0].same, result.verdict) == (1, BARS, "fail")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantity": "0.006"}, "quantity"),
        ({"order_side": "SELL", "side": "SELL"}, "side"),
        ({"price": "41982.90"}, "price"),
        ({"reduce_only": True}, "reduce_only"),
        ({"time_in_force": "IOC"}, "time_in_force"),
        ({"order_type": "STOP_LIMIT"}, "type"),
    ],
)
def test_another_decision_is_shown_with_its_bar(home: Path, tmp_path: Path, change: dict[str, Any], field: str) -> None:
    result = compared(home, tmp_path, made={LIMIT: change})
    first = result.decisions.first
    assert first
    assert first.a
    assert first.b
    assert (first.bar[11:16], first.number, first.b.client_order_id) == ("00:00", 2, "P-1")
    assert [each.field for each in first.differences] == [field]
    assert (result.verdict, result.decisions.different) == ("fail", 1)


def test_a_decision_that_was_not_made_is_shown(home: Path, tmp_path: Path) -> None:
    result = compared(home, tmp_path, unmade={LIMIT})
    first = result.decisions.first
    assert first
    assert (first.b, result.decisions.outcome, result.verdict) == (None, "differ", "fail")


def test_the_same_decision_at_another_bar_is_another_decision(home: Path, tmp_path: Path) -> None:
    later = 1_704_067_259_999_000_000 + 2 * 60_000_000_000
    assert compared(home, tmp_path, made={LIMIT: {"bar_ns": later}}).decisions.outcome == "differ"


def test_orders_that_end_the_run_are_no_decisions(home: Path, tmp_path: Path) -> None:
    result = compared(home, tmp_path, made={44: {"origin": "on_stop"}})
    assert result.decisions.left_out.lab_orders == 1


def test_a_price_of_the_book_is_explained(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, ENTRY) + Decimal("0.10")
    fills = {ENTRY: [{"price": f"{price:f}", "quantity": "0.005", "fee": fee(price, "0.005")}]}
    result = compared(home, tmp_path, fills=fills)
    assert found(result) == {("P-0", "price", "price_source"), ("P-0", "fee", "fee")}
    assert (result.verdict, result.fills.outcome, result.fills.different) == ("pass", "explained", 1)


def test_a_price_that_no_book_could_show_is_unexplained(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, ENTRY) + Decimal("20.10")  # 201 levels
    fills = {ENTRY: [{"price": f"{price:f}", "quantity": "0.005", "fee": fee(price, "0.005")}]}
    result = compared(home, tmp_path, fills=fills)
    assert ("P-0", "price", "unexplained") in found(result)
    assert result.verdict == "fail"


def test_a_price_beyond_the_limit_is_unexplained(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, FILLED_LIMIT) + Decimal("0.10")
    part = {"price": f"{price:f}", "quantity": "0.005", "fee": fee(price, "0.005", "0.0002"), "maker": True}
    result = compared(home, tmp_path, fills={FILLED_LIMIT: [part | {"minute": 13, "tick": 9}]})
    assert (f"P-{FILLED_LIMIT}", "price", "unexplained") in found(result)


def test_an_order_that_came_late_has_the_price_of_then(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, ENTRY) + Decimal("0.10")
    part = {"price": f"{price:f}", "quantity": "0.005", "fee": fee(price, "0.005")}
    result = compared(home, tmp_path, fills={ENTRY: [part]}, late={ENTRY: Moment(0, 3)})
    assert found(result) == {("P-0", "price", "latency"), ("P-0", "fee", "fee")}


def test_a_fee_that_is_not_the_runs_rate_is_unexplained(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, ENTRY)
    fills = {ENTRY: [{"price": f"{price:f}", "quantity": "0.005", "fee": "0.10500977"}]}
    assert found(compared(home, tmp_path, fills=fills)) == {("P-0", "fee", "unexplained")}


def test_a_fill_in_parts_is_partial(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, ENTRY)
    parts = [{"price": f"{price:f}", "quantity": size, "fee": fee(price, size)} for size in ("0.002", "0.003")]
    result = compared(home, tmp_path, fills={ENTRY: parts})
    assert ("P-0", "fills", "partial") in found(result)
    assert result.verdict == "pass"


def test_a_limit_that_was_touched_may_fill_in_one_and_not_in_the_other(home: Path, tmp_path: Path) -> None:
    """The close behind it is then smaller: its quantity is no decision, and it has the same cause."""
    made = {FILLED_LIMIT + 1: {"quantity": "0.005"}}
    price = Decimal("41954")
    fills: dict[int, list[dict[str, Any]]] = {
        FILLED_LIMIT: [],
        FILLED_LIMIT + 1: [{"price": f"{price:f}", "quantity": "0.005", "fee": fee(price, "0.005")}],
    }
    result = compared(home, tmp_path, fills=fills, made=made, canceled={FILLED_LIMIT: Moment(14, 0)})
    assert result.decisions.outcome == "same"
    assert (f"P-{FILLED_LIMIT}", "quantity", "price_source") in found(result)
    assert (f"P-{FILLED_LIMIT + 1}", "quantity", "price_source") in found(result)
    assert result.verdict == "pass"


def test_a_fill_where_the_market_never_was_is_unexplained(home: Path, tmp_path: Path) -> None:
    """The first limit order is 0.05 % away, and is taken back without a candle near it."""
    part = {"price": "41982.80", "quantity": "0.005", "fee": fee(Decimal("41982.80"), "0.005", "0.0002"), "maker": True}
    result = compared(home, tmp_path, fills={LIMIT: [part | {"minute": 1, "tick": 5}]}, canceled={LIMIT: None})
    assert ("P-1", "quantity", "unexplained") in found(result)
    assert result.verdict == "fail"


@pytest.mark.parametrize("kind", ["OrderDenied", "OrderRejected"])
def test_an_order_that_never_came_to_its_venue_is_unexplained(home: Path, tmp_path: Path, kind: str) -> None:
    result = compared(home, tmp_path, never={LIMIT: kind})
    assert ("P-1", "status", "unexplained") in found(result)
    assert (result.decisions.outcome, result.verdict) == ("same", "fail")


def test_a_cancel_that_came_late_is_latency_and_one_that_never_came_is_not(home: Path, tmp_path: Path) -> None:
    late = compared(home, tmp_path, canceled={LIMIT: Moment(2, 4)})
    assert found(late) == {("P-1", "canceled", "latency")}
    shutil.rmtree(tmp_path / "paper")
    early = compared(home, tmp_path, canceled={LIMIT: Moment(1, 4)})
    assert found(early) == {("P-1", "canceled", "unexplained")}
    shutil.rmtree(tmp_path / "paper")
    never = compared(home, tmp_path, canceled={LIMIT: None})
    assert found(never) == {("P-1", "canceled", "unexplained")}


def test_what_was_not_kept_is_unknown(home: Path, tmp_path: Path) -> None:
    result = compared(home, tmp_path, decisions_kept=False)
    assert (result.verdict, result.bars[0].outcome, result.decisions.outcome) == ("unknown", "same", "unknown")


def test_a_run_that_did_not_complete_is_unknown_when_nothing_differs(home: Path, tmp_path: Path) -> None:
    result = compared(home, tmp_path, metadata={"status": "interrupted"})
    assert (result.verdict, result.decisions.outcome) == ("unknown", "same")
    assert "paper is interrupted" in result.message


def test_other_candles_are_no_basis(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    assert bt.metadata.dataset
    other = bt.metadata.dataset.model_copy(update={"fingerprint": "sha256:" + "1" * 64})
    result = compared(home, tmp_path, metadata={"dataset": other})
    assert (result.verdict, result.message) == ("fail", "the two runs used different candles")


def test_two_paper_runs_have_one_book_and_so_one_price(home: Path, tmp_path: Path, bt: ComparedRun) -> None:
    price = close_of(bt, ENTRY) + Decimal("0.10")
    fills = {ENTRY: [{"price": f"{price:f}", "quantity": "0.005", "fee": fee(price, "0.005")}]}
    one = twin(bt, home, tmp_path / "one", BARS, Twist())
    same = twin(bt, home, tmp_path / "same", BARS, Twist())
    two = twin(bt, home, tmp_path / "two", BARS, Twist(fills=fills))
    assert parity(Layout(home), one, same).verdict == "pass"
    assert ("P-0", "price", "unexplained") in found(parity(Layout(home), one, two))

"""On the same candles a paper run sees and decides what a backtest does; where fills differ, it is said why."""

import json
from decimal import Decimal
from typing import Any

import pytest

from opslab.cli.run.commands import app
from tests.drivers.tc import Tc

pytestmark = pytest.mark.skipif(
    "paper" not in {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands},
    reason="tc run paper is not there yet",
)
BARS = 240


def both(tc: Tc, strategy: str, **paper: Any) -> Any:
    """A backtest `bt` and a paper run `pp` of the first bars of the sample; what the paper run says of itself."""
    tc.ok("run", "backtest", "--spec", tc.spec(strategy=strategy), "--run-id", "bt")
    block = {"speed": "max", "max_bars": BARS, **paper}
    spec = tc.spec("paper.yaml", strategy=strategy, mode="paper", paper=block)
    return tc.json("run", "paper", "--spec", spec, "--run-id", "pp")


def compared(tc: Tc, code: int = 0) -> Any:
    answer = tc("run", "compare", "bt", "pp", "--json")
    assert answer.code == code, answer.out + answer.err
    return answer.document


def rows(tc: Tc, run_id: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tc.run_folder(run_id) / f"{name}.jsonl").read_text().splitlines()]


def test_the_smoke_demo_sees_exactly_the_same_bars(tc: Tc) -> None:
    paper = both(tc, "ops_smoke_demo")
    assert (paper["status"], paper["result_digest"], paper["metrics"]["bars_seen"]) == ("completed", None, BARS)
    found = compared(tc)
    (bars,) = found["parity"]["bars"]
    assert (found["results"], bars["outcome"], bars["same"], bars["missing"]) == ("same", "same", BARS, 0)
    assert found["parity"]["decisions"]["outcome"] == "same"
    acted = [
        event["payload"] for run in ("bt", "pp") for event in tc.events(run) if "scenario_action" in event["event"]
    ]
    assert acted[0] == acted[1]


def test_the_lifecycle_demo_makes_the_same_decisions_and_every_other_fill_is_explained(tc: Tc) -> None:
    paper = both(tc, "order_lifecycle_demo")
    found = compared(tc)
    parity = found["parity"]
    assert parity["verdict"] == "pass"
    assert (parity["bars"][0]["same"], parity["decisions"]["same"]) == (BARS, BARS * 3 // 2)
    assert set(parity["fills"]["causes"]) <= {"price_source", "fee", "partial"}  # at `max` the market waits
    assert paper["metrics"]["fills_count"] == len(rows(tc, "pp", "fills"))
    events = (tc.run_folder("pp") / "logs" / "venue-events.jsonl").read_text()
    assert "user stream" in events
    assert "too many messages" not in events  # the answers to the venue's own pings are not counted
    text = tc("run", "compare", "bt", "pp").out
    assert "bars of pp" in text
    assert "every differing fill explained" in text


def test_the_results_are_the_venues_ledger(tc: Tc) -> None:
    both(tc, "order_lifecycle_demo")
    ledger = [
        event
        for line in (tc.run_folder("pp") / "venue" / "ledger.jsonl").read_text().splitlines()
        for event in json.loads(line)["events"]
    ]
    fills = [event for event in ledger if event["kind"] == "filled"]
    shown = rows(tc, "pp", "fills")
    assert [(row["trade_id"], row["last_px"], row["last_qty"]) for row in shown] == [
        (str(fill["trade_id"]), fill["price"], fill["quantity"]) for fill in fills
    ]
    accepted = {str(event["order_id"]) for event in ledger if event["kind"] == "accepted"}
    assert {row["venue_order_id"] for row in rows(tc, "pp", "orders")} - {None} == accepted
    assert Decimal(fills[-1]["position"]) == 0
    assert rows(tc, "pp", "positions")[-1]["side"] == "FLAT"


def test_two_paper_runs_are_compared_where_both_have_bars(tc: Tc) -> None:
    both(tc, "ops_smoke_demo")
    spec = tc.spec("other.yaml", mode="paper", paper={"speed": "max", "max_bars": BARS}, data={
        "dataset": "btcusdt-sample", "start": "2024-01-01T00:10:00Z"})  # fmt: skip
    tc.ok("run", "paper", "--spec", spec, "--run-id", "later")
    found = tc("run", "compare", "pp", "later", "--json").document
    assert {bars["outcome"] for bars in found["parity"]["bars"]} == {"same"}
    assert found["parity"]["first_bar"] == "2024-01-01T00:10:59.999000Z"

"""Emulated orders in the results of both modes, and the warnings of a paper run with `--strict`."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.drivers.tc import Tc

STRATEGY = Path(__file__).parents[1] / "strategies" / "paper" / "emulated.py"
TERMS = ("status", "type", "quantity", "trigger_price", "released_as")
MARKET = ("FILLED", "MARKET", "0.010", None, None)
LEFT = ("EMULATED", "STOP_MARKET", "0.010", "30000.00", None)
CANCELED = ("CANCELED", "STOP_MARKET", "0.020", "29000.00", None)


def spec_of(tc: Tc, **changes: Any) -> str:
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(STRATEGY, folder)
    return tc.own_spec(folder, {"path": "emulated:Emulated"}, **changes)


def orders(tc: Tc, run_id: str) -> list[tuple[Any, ...]]:
    lines = (tc.run_folder(run_id) / "orders.jsonl").read_text().splitlines()
    rows = sorted(map(json.loads, lines), key=lambda row: int(row["client_order_id"].rpartition("-")[2]))
    return [tuple(row.get(name) for name in TERMS) for row in rows]


def test_a_backtest_releases_no_emulated_order_and_warns(tc: Tc) -> None:
    data = {"dataset": "btcusdt-sample", "end": "2024-01-01T00:10:00Z"}
    run = tc.json("run", "backtest", "--spec", spec_of(tc, data=data), "--run-id", "bt")
    untriggered = ("EMULATED", "STOP_MARKET", "0.010", "60000.00", None)
    at_venue = ("ACCEPTED", "STOP_MARKET", "0.010", "30000.00", None)
    assert orders(tc, "bt") == [MARKET, untriggered, LEFT, CANCELED, at_venue]
    assert run["metrics"]["orders_canceled"] == 1
    assert [(one["code"], one["count"]) for one in run["warnings"]] == [("orders_not_released", 3)]


def test_a_paper_run_has_their_last_state_and_names_a_refused_stop_first(tc: Tc) -> None:
    spec = spec_of(tc, mode="paper", paper={"speed": 120, "max_bars": 6})
    answer = tc("run", "paper", "--spec", spec, "--run-id", "pp", "--strict", "--json")
    assert (answer.code, "--strict allows none" in answer.err) == (1, True), answer.err
    run = answer.document
    assert run["status"] == "completed"
    released = ("FILLED", "STOP_MARKET", "0.010", "60000.00", "MARKET")
    refused = ("REJECTED", "STOP_MARKET", "0.010", "30000.00", None)
    at_stop = ("CANCELED", "STOP_MARKET", "0.010", "30000.00", None)
    assert orders(tc, "pp") == [MARKET, released, at_stop, CANCELED, refused]
    metrics = run["metrics"]
    assert (metrics["orders_submitted"], metrics["orders_canceled"], metrics["orders_rejected"]) == (3, 2, 1)
    protective, rejected = run["warnings"]
    assert [protective["code"], rejected["code"]] == ["protective_orders_refused", "orders_rejected"]
    assert tc.events("pp")[-1]["payload"]["warnings"] == run["warnings"]
    (reason,) = run["rejection_reasons"]
    assert "-1116" in reason
    shown = tc.ok("run", "show", "pp").out.splitlines()
    assert shown[0].split()[:2] == ["warning", "protective_orders_refused"]
    assert any("-1116" in line for line in shown if not line.startswith("warning"))
    for report in ("report.md", "report.html"):
        text = (tc.run_folder("pp") / report).read_text()
        assert text.index("Warnings") < text.index("protective_orders_refused") < text.index("Scenario counters")
        assert text.count("-1116") > 2

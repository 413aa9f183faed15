"""The exchange closes the position of a paper run by force, or calls for margin: the run says so, and fails."""

import shutil
from pathlib import Path
from typing import get_args

import pytest

from opslab.model.messages.forced_close import ForcedCloseKind
from tests.drivers.paper_run import PaperRun, with_fields
from tests.drivers.tc import Tc
from tests.oracles.paper_truth import rows_of, true_end

HOLDS = Path(__file__).parents[1] / "strategies" / "paper" / "unruly.py"


def holding_run(tc: Tc) -> PaperRun:
    """A run whose strategy opens a position and rests an order at its third bar, and keeps both."""
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(HOLDS, folder)
    spec = tc.own_spec(folder, {"path": "unruly:Holds"}, mode="paper", paper={"speed": 480, "max_bars": 600})
    return PaperRun(tc, spec)


@pytest.mark.parametrize("kind", get_args(ForcedCloseKind))
def test_a_forced_close_closes_the_gate_and_fails_the_run_by_name(tc: Tc, kind: str) -> None:
    with holding_run(tc) as run:
        run.wait_for("order_event", with_fields(type="OrderFilled"))
        run.fault("forced-close", kind=kind)
        event = run.wait_for("forced_close")["payload"]
        shown = true_end(run, 1)
        forced_id = event["client_order_id"]
        assert (event["kind"], event["side"], event["quantity"]) == (kind, "SELL", "0.005")
        assert (shown["status"], shown["ended_by"]) == ("failed", "forced_close")
        assert shown["failure"]["kind"] == "account"
        assert [one["reason"] for one in run.told("gate_closed")] == ["forced_close"]
        assert shown["paper"]["stop"]["reason"] == "forced_close"
        assert (shown["paper"]["forced_closes"], shown["paper"]["orders_external"]) == ({kind: 1}, 0)
        assert (shown["metrics"]["orders_submitted"], shown["metrics"]["fills_count"]) == (2, 1)
        (warning,) = [one for one in shown["warnings"] if one["code"] == "forced_close"]
        assert (warning["count"], warning["first"]) == (1, forced_id)
        orders = {row["client_order_id"]: row for row in rows_of(run.folder, "orders")}
        assert (orders[forced_id]["strategy_id"], orders[forced_id]["status"]) == ("EXTERNAL", "FILLED")
        resting = next(row for row in orders.values() if row["type"] == "LIMIT")
        assert resting["status"] == ("CANCELED" if kind == "adl" else "EXPIRED")
        assert f"{kind} (1)" in tc("run", "show", run.run_id).out
        assert f"{kind} (1)" in (run.folder / "report.md").read_text()


def test_a_margin_call_closes_the_gate_and_fails_the_run_by_name(tc: Tc) -> None:
    with holding_run(tc) as run:
        run.wait_for("order_event", with_fields(type="OrderFilled"))
        run.fault("margin-call")
        call = run.wait_for("margin_call")
        shown = true_end(run, 1)
        assert (call["payload"]["position"], call["payload"]["number"]) == ("0.005", 1)
        assert (shown["status"], shown["ended_by"]) == ("failed", "margin_call")
        assert (shown["failure"]["kind"], shown["paper"]["stop"]["reason"]) == ("account", "margin_call")
        assert [one["reason"] for one in run.told("gate_closed")] == ["margin_call"]
        assert (shown["paper"]["margin_calls"], shown["paper"]["first_margin_call"]) == (1, call["time"])
        (warning,) = [one for one in shown["warnings"] if one["code"] == "margin_call"]
        assert (warning["count"], warning["first"]) == (1, f"margin_call at {call['time']}")
        components = [kind["component"] for kind in shown["log"]["kinds"] if "Margin call" in (kind["message"] or "")]
        assert components, "the adapter received the call"
        assert warning["text"] in tc("run", "show", run.run_id).out
        assert "margin calls by the exchange" in (run.folder / "report.md").read_text()

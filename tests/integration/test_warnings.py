"""Warnings of a run, as an operator meets them: closing event, metadata, show, reports, --json, --strict."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import Tc, candle_lines

MODIFYING = Path(__file__).parents[1] / "strategies" / "paper" / "modifying.py"


def dataset(tc: Tc, folder: Path, lines: list[str], *options: str) -> None:
    csv = folder / "candles.csv"
    csv.write_text("\n".join(lines) + "\n")
    tc.ok("data", "import", str(csv), "--dataset", "candles", *options)


def test_a_run_in_which_every_order_was_refused_says_so_first_and_exits_1_with_strict(tc: Tc, tmp_path: Path) -> None:
    dataset(tc, tmp_path, candle_lines(40, price="2000000.0"))  # the smallest quantity is worth 2,000
    spec = tc.spec(strategy="order_lifecycle_demo", dataset="candles", risk={"profile": "tiny"})
    run = tc.json("run", "backtest", "--spec", spec, "--run-id", "r1")
    (warning,) = run["warnings"]
    assert (warning["code"], warning["count"]) == ("orders_refused", run["metrics"]["orders_denied"])
    assert "NOTIONAL_EXCEEDS_MAX_PER_ORDER (40)" in warning["text"]
    assert run["status"] == "completed"
    assert tc.events("r1")[-1]["payload"]["warnings"] == run["warnings"]
    first_line = tc.ok("run", "show", "r1").out.splitlines()[0]
    assert first_line.split() == ["warning", "orders_refused", *f"{warning['text']}; first: {warning['first']}".split()]
    for report in ("report.md", "report.html"):
        text = (tc.run_folder("r1") / report).read_text()
        assert text.index("Warnings") < text.index("orders_refused") < text.index("Scenario counters")
    strict = tc("run", "backtest", "--spec", spec, "--run-id", "r2", "--strict")
    assert (strict.code, "--strict" in strict.err) == (1, True)


@pytest.mark.parametrize("mode", ["backtest", "paper"])
def test_a_rejected_modification_of_an_open_order_is_a_warning(tc: Tc, mode: str) -> None:
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(MODIFYING, folder)
    data = {"dataset": "btcusdt-sample", "end": "2024-01-01T00:06:00Z"}
    limits = {"paper": {"speed": 240}} if mode == "paper" else {}
    spec = tc.own_spec(folder, {"path": "modifying:Modifying"}, mode=mode, data=data, **limits)
    answer = tc("run", mode, "--spec", spec, "--run-id", "r1", "--strict", "--json")
    run = answer.document
    assert (answer.code, run["status"]) == (1, "completed"), answer.err
    (warning,) = run["warnings"]
    assert (warning["code"], warning["count"]) == ("modifications_rejected", 1)
    assert ("-4016" if mode == "paper" else "POST_ONLY") in warning["text"]
    assert warning["first"] in (tc.run_folder("r1") / "orders.jsonl").read_text()


def test_a_run_without_warnings_exits_0_with_strict(tc: Tc, tmp_path: Path) -> None:
    dataset(tc, tmp_path, candle_lines(40))
    spec = tc.spec(strategy="order_lifecycle_demo", dataset="candles")
    run = tc.json("run", "backtest", "--spec", spec, "--run-id", "r1", "--strict")
    assert run["warnings"] == tc.events("r1")[-1]["payload"]["warnings"] == []


def test_each_run_on_candles_with_allowed_errors_names_them(tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(40)
    del lines[20:23]
    dataset(tc, tmp_path, lines, "--allow", "gap")
    spec = tc.spec(dataset="candles")
    expected: dict[str, Any] = {"count": 1, "first": "data/datasets/candles/dataset.json"}
    for run_id in ("r1", "r2"):
        (warning,) = tc.json("run", "backtest", "--spec", spec, "--run-id", run_id)["warnings"]
        assert {name: warning[name] for name in expected} == expected
        assert (warning["code"], "gap (1)" in warning["text"]) == ("dataset_allowed", True)

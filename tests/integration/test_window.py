"""`data.start` and `data.end` select what a run sees, and are part of what it is known by."""

from typing import Any

import pytest

from tests.drivers.tc import Tc, candle_lines


def run(tc: Tc, run_id: str, strategy: str = "order_lifecycle_demo", **data: str) -> Any:
    spec = tc.spec(f"{run_id}.yaml", data={"dataset": "btcusdt-sample", **data}, strategy=strategy)
    return tc.json("run", "backtest", "--spec", spec, "--run-id", run_id)


DAY = {"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}


def test_a_window_runs_its_candles_and_no_other(tc: Tc) -> None:
    day = run(tc, "day", **DAY)
    assert (day["status"], day["metrics"]["bars_seen"]) == ("completed", 1440)
    assert (day["dataset"]["rows"], day["dataset"]["start"], day["dataset"]["end"]) == (1440, DAY["start"], DAY["end"])
    times = [event["payload"]["ts_event"] for event in tc.events("day") if event["event"] == "order_event"]
    first_close = 1_704_153_600_000_000_000 + 59_999_000_000
    assert min(times) == first_close
    assert max(times) <= first_close + 1439 * 60_000_000_000


@pytest.mark.parametrize(
    ("window", "rows"),
    [
        ({"start": "2024-01-07T23:50:00Z"}, 10),
        ({"end": "2024-01-01T00:10:00Z"}, 10),
        ({"start": "2024-01-07"}, 1440),
        ({"start": "2020-01-01", "end": "2030-01-01"}, 10_080),
        ({"start": "2024-01-01T00:00Z", "end": "2024-01-01T00:01Z"}, 1),
    ],
)
def test_bounds_are_open_times_and_the_end_is_left_out(tc: Tc, window: dict[str, str], rows: int) -> None:
    assert run(tc, "r1", "ops_smoke_demo", **window)["metrics"]["bars_seen"] == rows


def test_the_window_is_in_the_input_digest_and_its_spelling_is_not(tc: Tc) -> None:
    two_days, day = run(tc, "two-days", start=DAY["start"], end="2024-01-04T00:00Z"), run(tc, "day", **DAY)
    same = run(tc, "same", start="2024-01-02", end="2024-01-03T00:00Z")
    assert day["input_digest"] != two_days["input_digest"]
    assert (day["input_digest"], day["result_digest"]) == (same["input_digest"], same["result_digest"])


def test_a_window_gives_what_the_same_candles_alone_give(tc: Tc, tmp_path: Any) -> None:
    lines = candle_lines(120)
    for name, part in (("all", lines), ("part", [lines[0], *lines[31:91]])):
        (tmp_path / f"{name}.csv").write_text("\n".join(part) + "\n")
        tc.ok("data", "import", str(tmp_path / f"{name}.csv"), "--dataset", name)
    window = {"dataset": "all", "start": "2024-01-01T00:30:00Z", "end": "2024-01-01T01:30:00Z"}
    results = []
    for run_id, data in (("window", window), ("alone", {"dataset": "part"})):
        spec = tc.spec(f"{run_id}.yaml", data=data, strategy="order_lifecycle_demo")
        results.append(tc.json("run", "backtest", "--spec", spec, "--run-id", run_id))
    assert results[0]["metrics"]["bars_seen"] == 60
    assert results[0]["result_digest"] == results[1]["result_digest"]


@pytest.mark.parametrize(
    "window",
    [
        {"start": "2024-01-03", "end": "2024-01-02"},
        {"start": "2024-01-02T00:00:30Z"},
        {"start": "2024-01-02T00:00:00+01:00"},
        {"start": "2024-02-30"},
        {"start": "yesterday"},
        {"end": "2023-12-31"},
        {"start": "2025-01-01"},
    ],
)
def test_a_window_that_is_none_is_refused(tc: Tc, window: dict[str, str]) -> None:
    spec = tc.spec(data={"dataset": "btcusdt-sample", **window})
    answer = tc("run", "backtest", "--spec", spec, "--run-id", "r1")
    assert answer.code == 2
    assert not any(tc.home.glob("artifacts/runs/*"))

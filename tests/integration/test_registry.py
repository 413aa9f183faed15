"""The list of runs reads what is there, and one bad folder spoils nothing."""

import json
import shutil

from tests.fakes.tc import Tc


def test_a_folder_that_cannot_be_read_is_a_row_that_says_so(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "good")
    for name, text in {"torn": '{"run_id": "to', "other": "[]", "empty": "", "binary": "\x00\xff"}.items():
        (tc.run_folder(name)).mkdir()
        (tc.run_folder(name) / "metadata.json").write_text(text)
    (tc.run_folder("nothing")).mkdir()
    (tc.home / "artifacts/runs/a file").write_text("not a run")
    (tc.home / "artifacts/runs/.hidden").mkdir()
    rows = {row["run_id"]: row for row in tc.json("run", "list")["runs"]}
    assert set(rows) == {"good", "torn", "other", "empty", "binary", "nothing"}
    assert rows["good"]["status"] == "completed"
    assert all(rows[name]["error"] for name in rows if name != "good")
    assert "unreadable" in tc.ok("run", "list").out
    for name in ("torn", "nothing"):
        assert tc("run", "show", name).code == 6


def test_metadata_can_be_deleted_and_comes_back_from_the_journal(tc: Tc) -> None:
    before = tc.json("run", "backtest", "--spec", tc.spec(strategy="order_lifecycle_demo"), "--run-id", "r1")
    (tc.run_folder("r1") / "metadata.json").unlink()
    assert tc.json("run", "show", "r1") == before


def test_a_run_folder_under_another_name_is_not_that_run(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    shutil.copytree(tc.run_folder("r1"), tc.run_folder("r2"))
    assert tc("run", "show", "r2").code == 6
    assert tc.json("run", "show", "r1")["status"] == "completed"


def test_runs_are_listed_oldest_first(tc: Tc) -> None:
    for name in ("z", "a"):
        tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", name)
    assert [row["run_id"] for row in tc.json("run", "list")["runs"]] == ["z", "a"]


def test_show_has_at_least_what_was_promised(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    run = tc.json("run", "show", "r1")
    assert {"run_id", "mode", "status", "input_digest", "result_digest", "started_at", "ended_at", "metrics"} <= set(
        run
    )
    counters = {"strategy_registered", "bars_seen", "deterministic_action_triggered", "orders_submitted", "fills_count"}
    assert counters <= set(run["metrics"])
    assert json.loads((tc.run_folder("r1") / "metrics.json").read_text())["scenario"] == run["metrics"]


def test_a_terminal_that_knows_only_ascii_gets_everything(tc: Tc) -> None:
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    assert tc("run", "show", "nö", PYTHONIOENCODING="ascii").code == 2
    assert tc("run", "list", PYTHONIOENCODING="ascii").code == 0

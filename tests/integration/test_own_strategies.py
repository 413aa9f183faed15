"""A user's own strategies through the command line: found, given their values, guarded, stopped, identified."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import Tc, wait_until

STRATEGIES = Path(__file__).parents[1] / "strategies"
SAMPLE_ROWS = 10_080


def put(tc: Tc, name: str, where: str = "own", **changes: Any) -> str:
    """A good strategy in a folder of its own; its spec's path."""
    folder = tc.home / where
    shutil.copytree(STRATEGIES / "good" / name, folder)
    return tc.own_spec(folder, (folder / "strategy.yaml").read_text(), **changes)


def put_bad(tc: Tc, name: str, **changes: Any) -> str:
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(STRATEGIES / "bad" / f"{name}.py", folder)
    return tc.own_spec(folder, {"path": f"{name}:Bad"}, **changes)


def backtest(tc: Tc, spec: str, run_id: str = "r1") -> Any:
    return tc.json("run", "backtest", "--spec", spec, "--run-id", run_id)


@pytest.mark.parametrize("name", ["relative", "dataclassed", "values", "quiet", "shadows"])
def test_a_good_strategy_runs_to_the_end(tc: Tc, name: str) -> None:
    spec = put(tc, name)
    before = sorted((tc.home / "own").rglob("*"))
    tc.ok("spec", "validate", "--spec", spec)
    run = backtest(tc, spec)
    assert (run["status"], run["metrics"]["bars_seen"]) == ("completed", SAMPLE_ROWS)
    assert run["metrics"]["deterministic_action_triggered"] == 0
    assert sorted((tc.home / "own").rglob("*")) == before  # nothing was compiled into it


def test_a_strategy_that_looks_at_nothing_completes_and_it_is_said(tc: Tc) -> None:
    run = backtest(tc, put(tc, "blind"))
    assert (run["status"], run["metrics"]["bars_seen"]) == ("completed", 0)


def test_its_orders_are_told_under_its_own_id_also_when_it_hears_of_none(tc: Tc) -> None:
    run = backtest(tc, put(tc, "values"))
    assert run["strategy"] == {"path": "values:Values", "config_path": "values:ValuesConfig"}
    assert run["metrics"]["orders_submitted"] == run["metrics"]["fills_count"] == 2
    told = [event["payload"]["type"] for event in tc.events("r1") if event["event"] == "order_event"]
    assert told.count("OrderFilled") == 2
    rows = [json.loads(line) for line in (tc.run_folder("r1") / "orders.jsonl").read_text().splitlines()]
    assert {row["strategy_id"] for row in rows} == {"MINE-007"}
    title = "values:Values (config values:ValuesConfig)"
    assert title in tc.ok("run", "show", "r1").out
    assert title in (tc.run_folder("r1") / "report.md").read_text()
    registered = next(event for event in tc.events("r1") if event["event"] == "scenario_registered")
    assert registered["payload"]["path"] == "values:Values"


def test_what_on_stop_did_is_told_like_the_rest(tc: Tc) -> None:
    run = backtest(tc, put(tc, "closing"))
    metrics = run["metrics"]
    assert (metrics["orders_submitted"], metrics["fills_count"], metrics["orders_canceled"]) == (3, 2, 1)
    told = [event["payload"] for event in tc.events("r1") if event["event"] == "order_event"]
    names = [(event["type"], event["client_order_id"]) for event in told]
    assert len(names) == len(set(names)) == 11
    assert [name for name, _ in names].count("OrderFilled") == 2
    (position,) = (tc.run_folder("r1") / "positions.jsonl").read_text().splitlines()
    assert json.loads(position)["side"] == "FLAT"


def test_a_run_without_a_name_is_named_after_its_class(tc: Tc) -> None:
    tc.ok("run", "backtest", "--spec", put(tc, "relative"))
    (run,) = (tc.home / "artifacts/runs").iterdir()
    assert run.name.endswith("-inner")


def test_no_path_of_this_machine_gets_into_the_artifacts(tc: Tc) -> None:
    spec = put_bad(tc, "raises_in_a_timer")
    assert tc("run", "backtest", "--spec", spec, "--run-id", "r1").code == 1
    text = "".join(path.read_text(errors="replace") for path in tc.run_folder("r1").rglob("*") if path.is_file())
    assert str(tc.home) not in text
    assert (
        'File "raises_in_a_timer.py", line'
        in json.loads((tc.run_folder("r1") / "metadata.json").read_text())["failure"]["detail"]
    )


def test_what_a_strategy_prints_is_kept_in_bounded_size(tc: Tc) -> None:
    backtest(tc, put(tc, "quiet"))  # 32 MB
    log = tc.run_folder("r1") / "logs" / "engine.log"
    text = log.read_text()
    assert 8_000_000 < log.stat().st_size < 9_000_000
    assert "bytes omitted" in text


# --- what it is known by -------------------------------------------------------------------------------------------


def digests(tc: Tc, spec: str, run_id: str) -> tuple[str, str]:
    run = backtest(tc, spec, run_id)
    return run["input_digest"], run["result_digest"]


def test_the_same_strategy_elsewhere_is_the_same_and_a_changed_one_is_not(tc: Tc) -> None:
    first = digests(tc, put(tc, "relative", "here"), "r1")
    spec = put(tc, "relative", "there")
    folder = Path(spec).parent
    (folder / ".hidden").mkdir()
    for name in (".hidden/x.py", "notes.txt"):
        (folder / name).write_text("x = 1\n")
    assert digests(tc, spec, "r2") == first
    (folder / "pack" / "levels.json").write_text("[1]")  # all of its package counts
    second = digests(tc, spec, "r3")
    assert second[0] != first[0]
    assert second[1] == first[1]
    (folder / "helper.py").write_text("")  # and every module of the folder
    assert digests(tc, spec, "r4")[0] != second[0]


def test_the_spelling_of_a_value_counts(tc: Tc) -> None:
    spec = put(tc, "values")
    first = digests(tc, spec, "r1")
    text = Path(spec).read_text()
    assert 'whole: "3"' in text
    Path(spec).write_text(text.replace('whole: "3"', "whole: 3"))  # what it becomes is the strategy's business
    assert digests(tc, spec, "r2")[0] != first[0]


def test_the_way_to_the_spec_does_not_matter(tc: Tc) -> None:
    spec = put(tc, "relative")
    first = digests(tc, spec, "r1")
    folder = tc.home / "elsewhere" / "deeper"
    folder.mkdir(parents=True)
    answer = tc("run", "backtest", "--spec", "../../own/spec.yaml", "--run-id", "r2", "--json", cwd=folder)
    assert answer.code == 0, answer.err
    assert (answer.document["input_digest"], answer.document["result_digest"]) == first


def test_a_folder_too_large_to_be_a_strategys_is_refused(tc: Tc) -> None:
    spec = put(tc, "blind")
    for number in range(2_001):
        (Path(spec).parent / f"m{number}.py").touch()
    answer = tc("run", "backtest", "--spec", spec, "--run-id", "r1")
    assert answer.code == 2
    assert "has more than 2,000 files or 50 MB of source" in answer.err
    assert not any(tc.home.glob("artifacts/**/*"))


# --- stopped -------------------------------------------------------------------------------------------------------


def in_the_engine(tc: Tc) -> bool:
    return any(event["event"] == "scenario_registered" for event in tc.events("r1"))


def test_an_endless_loop_ends_with_the_second_ctrl_c(tc: Tc) -> None:
    process = tc.start("run", "backtest", "--spec", put_bad(tc, "endless_on_bar"), "--run-id", "r1")
    wait_until(lambda: in_the_engine(tc), "the strategy to be in the engine")
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert any("a second signal kills the engine" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 130
    run = tc.json("run", "show", "r1")
    assert (run["status"], run["ended_by"]) == ("interrupted", "SIGINT")


def test_a_look_that_takes_for_ever_can_be_broken_off(tc: Tc) -> None:
    for words in (("spec", "validate"), ("run", "backtest")):
        shutil.rmtree(tc.home / "own", ignore_errors=True)
        process = tc.start(*words, "--spec", put_bad(tc, "endless_import"))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: bool(children.read_text()), "the strategy to be looked at")  # noqa: B023
        child = children.read_text().split()[0]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 130, err
        wait_until(lambda: ended(child), "the look's process to be gone")  # noqa: B023
        assert not any(tc.home.glob("artifacts/**/*"))


def test_a_strategy_that_sees_no_bar_can_be_stopped(tc: Tc) -> None:
    process = tc.start("run", "backtest", "--spec", put_bad(tc, "slow_without_bars"), "--run-id", "r1")
    wait_until(lambda: in_the_engine(tc), "the strategy to be in the engine")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    run = tc.json("run", "show", "r1")
    assert (process.returncode, run["status"], run["ended_by"]) == (130, "interrupted", "SIGINT")
    assert run["metrics"]["strategy_registered"] == 1  # it ended by itself, with its results


def test_nothing_a_strategy_started_outlives_its_run(tc: Tc) -> None:
    backtest(tc, put(tc, "quiet"))
    mine = {path.name for path in Path("/proc").iterdir() if path.name.isdigit() and in_home(path, tc.home)}
    assert not mine - {str(os.getpid())}


def ended(pid: str) -> bool:
    """Gone, or dead and only not yet collected by the system."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def in_home(process: Path, home: Path) -> bool:
    """Whether a process works in this test's home, as engines and what they start do."""
    try:
        return (process / "cwd").readlink() == home and process.joinpath("stat").read_text().split()[2] != "Z"
    except OSError:
        return False

"""`tc run compare`: the part of the inputs that differs, and the first event that does."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import FIRST_DAY, Tc, candle_lines, wait_until

STRATEGIES = Path(__file__).parents[1] / "strategies"


def backtest(tc: Tc, run_id: str, **changes: Any) -> Any:
    return tc.json("run", "backtest", "--spec", tc.spec(**changes), "--run-id", run_id)


def compare(tc: Tc, code: int, a: str = "a", b: str = "b") -> Any:
    answer = tc("run", "compare", a, b, "--json")
    assert answer.code == code, answer.err
    text = tc("run", "compare", a, b)
    assert text.code == code
    return answer.document


def candles(tc: Tc, name: str, changed: dict[int, str] | None = None, rows: int = 60) -> None:
    """A dataset of flat candles; those at the given minutes at another price."""
    lines = candle_lines(rows)
    for row, price in (changed or {}).items():
        time = lines[row + 1].partition(",")[0]
        lines[row + 1] = f"{time},{price},{price},{price},{price},1.5"
    csv = tc.home / f"{name}.csv"
    csv.write_text("\n".join(lines) + "\n")
    tc.ok("data", "import", str(csv), "--dataset", name)


def test_equal_inputs_are_the_same_in_everything(tc: Tc) -> None:
    backtest(tc, "a", strategy="order_lifecycle_demo", data=FIRST_DAY)
    default = {"leverage": 10}
    backtest(tc, "b", strategy="order_lifecycle_demo", data=FIRST_DAY, account=default)
    found = compare(tc, 0)
    assert (found["inputs"], found["results"], found["parts"], found["first"]) == ("same", "same", [], None)


def test_a_changed_candle_is_the_dataset_and_the_first_event_is_told(tc: Tc) -> None:
    candles(tc, "one")
    candles(tc, "two", {20: "42010.5"})
    backtest(tc, "a", strategy="order_lifecycle_demo", dataset="one")
    backtest(tc, "b", strategy="order_lifecycle_demo", dataset="two")
    found = compare(tc, 1)
    assert [part["part"] for part in found["parts"]] == ["dataset"]
    assert "fingerprint" in {each["field"] for each in found["parts"][0]["differences"]}
    first = found["first"]
    assert first["file"] == "journal.jsonl"
    sides = []
    for name in "ab":
        events = tc.events(name)
        line = first[name]["line"]
        assert events[line - 1]["payload"] == first[name]["content"]["payload"]
        results = [event for event in events if event["event"] == "order_event"]
        sides.append([event["payload"] for event in results])
        assert results[first["number"] - 1] == events[line - 1]
    one, two = sides
    assert one[: found["compared"]] == two[: found["compared"]]
    assert one[found["compared"]] != two[found["compared"]]
    at = 1_704_067_200_000_000_000 + 20 * 60_000_000_000
    assert min(first[name]["content"]["payload"]["ts_event"] for name in "ab") >= at
    assert first["differences"]


def test_without_order_events_the_result_files_are_compared(tc: Tc) -> None:
    candles(tc, "one")
    candles(tc, "two", {20: "42010.5"})
    off = {"journal": False}
    backtest(tc, "a", strategy="order_lifecycle_demo", dataset="one", observability=off)
    backtest(tc, "b", strategy="order_lifecycle_demo", dataset="two", observability=off)
    first = compare(tc, 1)["first"]
    assert first["file"] == "orders.jsonl"
    for name in "ab":
        rows = (tc.run_folder(name) / "orders.jsonl").read_text().splitlines()
        assert json.loads(rows[first[name]["line"] - 1]) == first[name]["content"]


def test_a_changed_field_of_the_spec_is_named_and_names_are_not(tc: Tc) -> None:
    candles(tc, "one")
    candles(tc, "same-candles")
    backtest(tc, "a", dataset="one")
    backtest(tc, "b", dataset="same-candles", account={"leverage": 20})
    found = compare(tc, 0)
    (part,) = found["parts"]
    assert part["part"] == "spec"
    assert part["differences"] == [{"field": "account.leverage", "before": "10", "after": "20"}]


def test_a_changed_line_of_the_strategy_is_the_code(tc: Tc) -> None:
    for name, change in (("a", ""), ("b", "\n# another line\n")):
        folder = tc.home / name
        shutil.copytree(STRATEGIES / "good" / "values", folder)
        (folder / "values.py").write_text((folder / "values.py").read_text() + change)
        tc.json(
            "run", "backtest", "--spec", tc.own_spec(folder, (folder / "strategy.yaml").read_text()), "--run-id", name
        )
    found = compare(tc, 0)
    (part,) = found["parts"]
    assert (part["part"], [each["field"] for each in part["differences"]]) == ("code", ["strategy.values.py"])


def test_another_version_of_a_dependency_and_another_package_file_are_the_code(tc: Tc) -> None:
    """As if made elsewhere: the record of the code is what such a run would have."""
    backtest(tc, "a")
    backtest(tc, "b")
    resealed(tc, "b", {"pyarrow": "1.0.0"}, {"cli/app.py": "sha256:0"})
    (part,) = compare(tc, 0)["parts"]
    fields = {each["field"]: each["after"] for each in part["differences"]}
    assert part["part"] == "code"
    assert fields == {"installed.pyarrow": "1.0.0", "package.cli/app.py": "sha256:0"}


def resealed(tc: Tc, run_id: str, versions: dict[str, str], files: dict[str, str]) -> None:
    """The run, had it been made with other code: its record, its identity, its seal."""
    from opslab.runs.record.state import read_state
    from opslab.store.runs.run_folders import write_metadata
    from opslab.store.runs.seal import seal

    folder = tc.run_folder(run_id)
    code = json.loads((folder / "inputs/code.json").read_text())
    others = [text for text in code["distributions"] if text.partition("==")[0] not in versions]
    code["distributions"] = sorted([*others, *(f"{name}=={version}" for name, version in versions.items())])
    code["package"].update(files)
    (folder / "inputs/code.json").write_text(json.dumps(code))
    lines = (folder / "journal.jsonl").read_text().splitlines()
    lines[0] = lines[0].replace('"code_digest":"sha256:', '"code_digest":"sha256:00')
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    write_metadata(folder, read_state(folder))
    seal(folder, "completed", "run", "2026-01-01T00:00:00.000000Z", "0")
    for left in folder.glob("manifest-1.*"):
        left.unlink(missing_ok=True)
    (folder / "manifest.json").unlink()
    seal(folder, "completed", "run", "2026-01-01T00:00:00.000000Z", "0")


def names(tc: Tc, run_id: str) -> set[str]:
    return {event["event"] for event in tc.events(run_id)}


def test_a_run_that_was_broken_off_is_compared_as_far_as_it_goes(long_tc: Any) -> None:
    tc = long_tc()
    for name in ("cut-a", "cut-b"):
        process = tc.start("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", name)
        wait_until(lambda name=name: "scenario_action_triggered" in names(tc, name), "the only result event")  # type: ignore[misc]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
        assert process.returncode == 130
    found = compare(tc, 3, "cut-a", "cut-b")
    assert (found["results"], found["first"]) == ("unknown", None)


@pytest.mark.parametrize(("a", "b", "code"), [("a", "nothing", 5), ("../x", "a", 2), ("a", "bad", 6)])
def test_what_cannot_be_compared_is_refused(tc: Tc, a: str, b: str, code: int) -> None:
    backtest(tc, "a")
    backtest(tc, "bad")
    (tc.run_folder("bad") / "fills.jsonl").write_text("{}\n")
    answer = tc("run", "compare", a, b)
    assert (answer.code, answer.out, answer.err.count("tc: error: ")) == (code, "", 1)

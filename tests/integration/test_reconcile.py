"""`tc reconcile` with two files; the result is recorded in the run."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from opslab.reconciliation.document import MAX_BYTES
from opslab.reconciliation.result import Limits
from tests.drivers.tc import Answer, Tc
from tests.fakes.snapshot_documents import complete_document

EXAMPLES = Path(__file__).parents[2] / "examples" / "reconciliation"
OLD = ("--max-age-seconds", "1000000000")
OUTCOMES = {"ok": 0, "warning": 0, "mismatch": 1, "unknown": 3}


@pytest.fixture(scope="module")
def once(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    """`before` was initialized, `after` has run."""
    tc = Tc(tmp_path_factory.mktemp("reconcile-home"))
    shutil.copytree(sample_home / "data", tc.home / "data")
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "before")
    tc.ok("run", "backtest", "--spec", tc.spec(), "--run-id", "after")
    return tc


@pytest.fixture
def lab(once: Tc, tmp_path: Path) -> Tc:
    home = tmp_path / "home"
    shutil.copytree(once.home, home)
    return Tc(home)


def check(tc: Tc, run_id: str, observed: Path | str, *more: str, expected: Path | str = "") -> Answer:
    expected_file = str(expected or EXAMPLES / "expected.json")
    return tc("reconcile", "check", "--run-id", run_id, "--expected", expected_file, "--observed", str(observed), *more)


def example(tc: Tc, run_id: str, name: str, *more: str) -> Answer:
    return check(tc, run_id, EXAMPLES / f"{name}.json", *OLD, *more)


def written(tc: Tc, name: str, document: Any) -> Path:
    path = tc.home / name
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def footprint(tc: Tc) -> dict[str, bytes]:
    """Every file of every run."""
    return {
        str(path.relative_to(tc.home)): path.read_bytes()
        for path in sorted((tc.home / "artifacts").rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("run_id", ["before", "after"])
@pytest.mark.parametrize("name", OUTCOMES)
def test_each_example_has_its_outcome_before_and_after_a_run(lab: Tc, run_id: str, name: str) -> None:
    answer = example(lab, run_id, name, "--json")
    assert answer.code == OUTCOMES[name], answer.err
    document = answer.document
    assert (document["state"], document["run_id"], document["instrument"]) == (name, run_id, "BTCUSDT")
    assert document["counts"][name] >= 1
    assert sum(document["counts"].values()) == len(document["findings"])
    worst = document["findings"][0]
    assert worst["state"] == name
    assert {"part", "subject", "field", "expected", "observed", "difference", "tolerance", "reason"} <= set(worst)


def test_the_printed_result_is_the_recorded_one(lab: Tc) -> None:
    document = example(lab, "after", "mismatch", "--json").document
    folder = lab.run_folder("after")
    recorded = {name: document.pop(name) for name in ("artifact", "digest", "seal")}
    assert recorded["artifact"] == "reconciliation_result-1.json"
    for name in (recorded["artifact"], "reconciliation_result.json"):
        assert json.loads((folder / name).read_text()) == document
    event = lab.events("after")[-1]
    assert event["event"] == "reconciliation_checked"
    metadata = json.loads((folder / "metadata.json").read_text())["reconciliation"]
    assert metadata == event["payload"]
    assert (metadata["state"], metadata["mismatch"], metadata["artifact"]) == ("mismatch", 4, recorded["artifact"])
    for side in ("expected", "observed"):
        assert metadata[f"{side}_digest"] == document[side]["digest"]
        assert metadata[f"{side}_as_of"] == document[side]["as_of"]
    for report in ("report.md", "report.html"):
        assert metadata["expected_digest"] in (folder / report).read_text()
    assert recorded["seal"] == lab.json("run", "show", "after")["seal"]


def test_results_are_numbered_and_the_run_stays_whole_before_during_and_after(lab: Tc) -> None:
    assert example(lab, "before", "mismatch").code == 1
    assert example(lab, "before", "ok").code == 0
    assert lab("run", "verify", "before").code == 3
    lab.ok("run", "backtest", "--spec", lab.spec(), "--run-id", "before")
    lab.ok("run", "verify", "before")
    assert example(lab, "before", "unknown").code == 3
    lab.ok("run", "verify", "before")
    folder = lab.run_folder("before")
    states = [json.loads((folder / f"reconciliation_result-{n}.json").read_text())["state"] for n in (1, 2, 3)]
    assert states == ["mismatch", "ok", "unknown"]
    assert json.loads((folder / "reconciliation_result.json").read_text())["state"] == "unknown"
    assert [
        event["payload"]["state"] for event in lab.events("before") if event["event"] == "reconciliation_checked"
    ] == states
    shown = lab.json("run", "show", "before")
    assert (shown["status"], shown["reconciliation"]["state"]) == ("completed", "unknown")
    assert shown["result_digest"] == lab.json("run", "show", "after")["result_digest"]


def test_an_invalid_snapshot_is_refused_with_every_mistake_and_nothing_is_recorded(lab: Tc) -> None:
    before = footprint(lab)
    also_wrong = written(lab, "also.json", complete_document(balance=[], snapshot_version="v0"))
    answer = check(lab, "after", EXAMPLES / "refused.json", "--json", expected=also_wrong)
    assert answer.code == 2
    error = answer.document["error"]
    assert (error["exit_code"], error["mistake_count"]) == (2, 5)
    assert [(mistake["file"].split()[-1], mistake["field"]) for mistake in error["mistakes"]] == [
        ("(expected)", "balance"),
        ("(expected)", "snapshot_version"),
        ("(observed)", "snapshot_version"),
        ("(observed)", "positions[0].quantity"),
        ("(observed)", "open_orders"),
    ]
    assert all(mistake["message"] for mistake in error["mistakes"])
    assert answer.err.count("\n") >= 6
    assert footprint(lab) == before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"\x00" * 100,
        b"[" * 100_000,
        b"{" + b" " * MAX_BYTES + b"}",
        b'{"snapshot_version": "v1", "positions": [{"signed_quantity": NaN}]}',
        b'{"snapshot_version": "v1", "snapshot_version": "v1"}',
    ],
    ids=["empty", "text", "zeros", "deep", "long", "nan", "twice"],
)
def test_a_file_that_is_not_json_is_refused(lab: Tc, data: bytes) -> None:
    before = footprint(lab)
    answer = check(lab, "after", written(lab, "odd.json", data))
    assert (answer.code, answer.out) == (2, "")
    assert "odd.json" in answer.err
    assert footprint(lab) == before


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+999999", True, "-0.005", "", None, [], {"a": 1}])
def test_values_that_cannot_be_judged_are_recorded_as_unknown(lab: Tc, value: Any) -> None:
    document = json.loads((EXAMPLES / "expected.json").read_text())
    document["positions"][0]["signed_quantity"] = value
    answer = check(lab, "before", written(lab, "odd.json", document), *OLD, "--json")
    assert (answer.code, answer.document["state"]) == (3, "unknown")
    assert answer.document["artifact"] == "reconciliation_result-1.json"


def test_a_missing_run_is_refused_with_the_nearest_names(lab: Tc) -> None:
    answer = example(lab, "affter", "ok")
    assert answer.code == 5
    assert "after" in answer.err
    assert example(lab, "../x", "ok").code == 2


def test_a_path_that_is_not_a_file_is_refused_without_waiting(lab: Tc) -> None:
    before = footprint(lab)
    fifo = lab.home / "fifo"
    os.mkfifo(fifo)
    paths = (lab.home / "none.json", lab.home, fifo, "/dev/zero")
    assert [check(lab, "after", path).code for path in paths] == [5, 2, 2, 2]
    assert footprint(lab) == before


@pytest.mark.parametrize(
    "words",
    [
        ("--tolerance", "quantity=1"),
        ("--tolerance", "free"),
        ("--max-age-seconds", "0"),
        ("--max-age-seconds", "soon"),
        ("--max-apart-seconds", "-1"),
    ],
)
def test_invalid_options_are_refused(lab: Tc, words: tuple[str, ...]) -> None:
    before = footprint(lab)
    answer = check(lab, "after", EXAMPLES / "ok.json", *words)
    assert (answer.code, answer.out) == (2, "")
    assert footprint(lab) == before


@pytest.mark.parametrize("left_out", ["--run-id", "--expected", "--observed"])
def test_no_option_has_a_default(lab: Tc, left_out: str) -> None:
    file = str(EXAMPLES / "expected.json")
    given = {"--run-id": "after", "--expected": file, "--observed": file}
    words = [word for name, value in given.items() if name != left_out for word in (name, value)]
    assert lab("reconcile", "check", *words).code == 2


def test_old_snapshots_are_unknown_unless_their_age_is_allowed(lab: Tc) -> None:
    answer = check(lab, "before", EXAMPLES / "ok.json", "--json")
    assert answer.code == 3
    assert {finding["reason"] for finding in answer.document["findings"] if finding["state"] == "unknown"} == {"stale"}
    assert answer.document["limits"] == Limits().model_dump(mode="json")
    answer = check(lab, "before", EXAMPLES / "ok.json", *OLD, "--max-apart-seconds", "0", "--json")
    assert answer.code == 3
    assert answer.document["findings"][0]["reason"] == "too_far_apart"


def test_a_given_tolerance_is_part_of_the_result(lab: Tc) -> None:
    document = json.loads((EXAMPLES / "expected.json").read_text())
    document["balances"][0] |= {"free": "9818.82", "locked": "181"}
    observed = written(lab, "observed.json", document)
    assert check(lab, "before", observed, *OLD).code == 1
    answer = check(lab, "before", observed, *OLD, "--tolerance", "free=1", "--tolerance", "locked=1.0", "--json")
    assert (answer.code, answer.document["state"]) == (0, "warning")
    assert answer.document["limits"]["tolerances"]["free"] == "1"
    assert {finding["tolerance"] for finding in answer.document["findings"] if finding["state"] == "warning"} == {"1"}


def test_artifacts_name_no_path_of_this_machine(lab: Tc) -> None:
    observed = written(lab, "observed.json", (EXAMPLES / "mismatch.json").read_bytes())
    assert check(lab, "after", observed, *OLD).code == 1
    for name, data in footprint(lab).items():
        assert str(lab.home).encode() not in data, name


def test_a_snapshot_compared_with_itself_gets_a_note(lab: Tc) -> None:
    answer = example(lab, "after", "expected")
    assert answer.code == 0
    assert "same document" in answer.err


def test_the_text_names_the_differences(lab: Tc) -> None:
    answer = example(lab, "after", "mismatch")
    for word in ("mismatch", "by-hand-1", "demo-17", "filled_quantity", "0.004", "0.006"):
        assert word in answer.out
    assert "reconciliation_result-1.json" in answer.err


def test_the_schema_is_printed(bare_tc: Tc) -> None:
    assert bare_tc.ok("reconcile", "schema").document == bare_tc.json("reconcile", "schema")
    assert bare_tc.json("reconcile", "schema")["properties"]["positions"]
    assert not list(bare_tc.home.iterdir())

"""A sealed run proves itself, and a run without an owner is settled. What breaks runs is in tests/breaking."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import FIRST_DAY, Tc, wait_until


def backtest(tc: Tc, run_id: str = "r1", **changes: Any) -> Any:
    return tc.json("run", "backtest", "--spec", tc.spec(**changes), "--run-id", run_id)


def verify(tc: Tc, code: int, run_id: str = "r1") -> Any:
    answer = tc("run", "verify", run_id, "--json")
    assert answer.code == code, answer.out
    return answer.document


def finding(tc: Tc, run_id: str = "r1") -> Any:
    return verify(tc, 6, run_id)["findings"][0]


def test_a_finished_run_is_whole_and_says_so_of_every_file(tc: Tc, finished_run: Path) -> None:
    found = verify(tc, 0)
    manifest = json.loads((finished_run / "manifest.json").read_text())
    listed = {file["path"] for file in manifest["files"]}
    there = {path.relative_to(finished_run).as_posix() for path in finished_run.rglob("*") if path.is_file()}
    derived = {"metadata.json", "report.md", "report.html", "manifest.json", "manifest-1.lines"}
    assert listed == there - derived
    assert (found["verdict"], found["findings"], found["seal"]) == ("whole", [], manifest["seal"])
    assert tc.json("run", "show", "r1")["seal"] == manifest["seal"]
    by_hand = subprocess.run(
        ["sha256sum", *sorted(listed)], cwd=finished_run, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [f"sha256:{line.split()[0]}" for line in by_hand] == [file["digest"] for file in manifest["files"]]


def test_a_changed_line_is_named_with_its_number_and_byte(tc: Tc, finished_run: Path) -> None:
    path = finished_run / "orders.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[699] = lines[699].replace(b'"BUY"', b'"SEL"').replace(b'"SELL"', b'"BUYY"')
    path.write_bytes(b"".join(lines))
    found = finding(tc)
    assert (found["kind"], found["file"], found["line"]) == ("changed", "orders.jsonl", 700)
    assert found["byte"] == len(b"".join(lines[:699]))


def test_an_own_strategys_copy_is_sealed_too(tc: Tc) -> None:
    folder = tc.home / "own"
    shutil.copytree(Path(__file__).parents[1] / "strategies" / "good" / "values", folder)
    spec = tc.own_spec(folder, (folder / "strategy.yaml").read_text())
    tc.json("run", "backtest", "--spec", spec, "--run-id", "r1")
    copy = tc.run_folder("r1") / "inputs/strategy/values.py"
    assert copy.read_bytes() == (folder / "values.py").read_bytes()
    copy.write_bytes(copy.read_bytes() + b"\n")
    assert finding(tc)["file"] == "inputs/strategy/values.py"


def test_derived_files_may_go_and_come_back_the_same(tc: Tc, finished_run: Path) -> None:
    names = ("metadata.json", "report.md", "report.html")
    before = {name: (finished_run / name).read_bytes() for name in names}
    for name in names:
        (finished_run / name).unlink()
    assert verify(tc, 0)["verdict"] == "whole"
    assert tc.json("run", "report", "r1")["files"] == [f"artifacts/runs/r1/{name}" for name in sorted(names)]
    assert {name: (finished_run / name).read_bytes() for name in names} == before
    assert verify(tc, 0)["verdict"] == "whole"


def test_metadata_that_says_something_else_than_the_journal_is_named(tc: Tc, finished_run: Path) -> None:
    document = json.loads((finished_run / "metadata.json").read_text())
    document["metrics"]["fills_count"] += 1
    (finished_run / "metadata.json").write_text(json.dumps(document))
    assert finding(tc)["file"] == "metadata.json"
    tc.ok("run", "report", "r1")
    verify(tc, 0)


def test_what_verify_calls_changed_is_not_sealed_anew(tc: Tc, finished_run: Path) -> None:
    """A journal that was cut behind a line is not the journal of a run that died there."""
    journal = (finished_run / "journal.jsonl").read_bytes()
    cut = b"".join(journal.splitlines(keepends=True)[:5000])
    manifest = (finished_run / "manifest.json").read_bytes()
    (finished_run / "journal.jsonl").write_bytes(cut)
    assert finding(tc)["line"] == 5001
    refused(tc, finished_run)  # with its seal
    (finished_run / "manifest.json").unlink()
    assert finding(tc)["file"] == "journal.jsonl"
    refused(tc, finished_run)  # and without
    one = journal[: journal.index(b"\n") + 1]
    (finished_run / "journal.jsonl").write_bytes(one)
    refused(tc, finished_run)
    assert (
        tc("run", "backtest", "--spec", tc.spec(strategy="order_lifecycle_demo", data=FIRST_DAY), "--run-id", "r1").code
        == 6
    )
    (finished_run / "journal.jsonl").write_bytes(journal.replace(b'"BUY"', b'"SEL"', 1))
    found = finding(tc)
    assert (found["file"], found["line"] > 2, found["byte"] > 1000) == ("journal.jsonl", True, True)
    refused(tc, finished_run)
    (finished_run / "journal.jsonl").write_bytes(journal)
    metrics = (finished_run / "metrics.json").read_text()
    for name, text in (("metrics.json", metrics.replace("1", "2")), ("fills.jsonl", "{}\n")):
        kept = (finished_run / name).read_bytes()
        (finished_run / name).write_text(text)
        refused(tc, finished_run)
        (finished_run / name).write_bytes(kept)
    assert tc.json("run", "recover", "r1")["runs"][0]["action"] == "sealed"
    verify(tc, 0)
    (finished_run / "manifest.json").write_bytes(manifest)
    assert verify(tc, 0)["seal_number"] == 1


def refused(tc: Tc, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    answer = tc("run", "recover", folder.name)
    assert (answer.code, answer.out, answer.err.count("tc: error: ")) == (6, "", 1)
    rows = tc("run", "recover", "--all", "--json")
    assert (rows.code, rows.document["runs"][0]["action"]) == (6, "unreadable")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_killed_process_left_of_a_report_goes_and_the_report_is_there(tc: Tc, finished_run: Path) -> None:
    before = (finished_run / "report.md").read_bytes()
    (finished_run / "report.md").unlink()
    (finished_run / ".report.md.1234.tmp").write_bytes(before[:100])
    assert [one["kind"] for one in verify(tc, 0)["findings"]] == ["leftover"]
    assert tc.json("run", "recover", "r1")["runs"][0]["action"] == "rendered"
    assert not list(finished_run.glob(".*"))
    assert (finished_run / "report.md").read_bytes() == before
    assert tc.json("run", "recover", "r1")["runs"][0]["action"] == "unchanged"
    verify(tc, 0)


def test_a_missing_journal_is_missing(tc: Tc, finished_run: Path) -> None:
    (finished_run / "manifest.json").unlink()
    (finished_run / "journal.jsonl").unlink()
    assert (finding(tc)["kind"], finding(tc)["file"]) == ("missing", "journal.jsonl")


def test_a_later_seal_names_the_one_before_and_everything_it_listed_is_unchanged(tc: Tc, finished_run: Path) -> None:
    """What a later check will do: append its event, add its artifact, seal again."""
    from opslab.store.runs.journal import Journal
    from opslab.store.runs.seal import seal
    from opslab.system import SystemClock

    first = json.loads((finished_run / "manifest.json").read_text())
    old = (finished_run / "journal.jsonl").read_bytes()
    with Journal(finished_run, SystemClock()) as journal:
        journal.append("scenario_action_triggered", {"bar": 1})
    assert finding(tc)["line"] == old.count(b"\n") + 1  # one line too many
    seal(finished_run, "completed", "run", "2026-01-01T00:00:00.000000Z", "0.1.0")
    second = json.loads((finished_run / "manifest.json").read_text())
    assert verify(tc, 0)["seal_number"] == second["number"] == 2
    assert json.loads((finished_run / "manifest-1.json").read_text()) == first
    kept = {file["path"]: file for file in second["files"]}
    for file in first["files"]:
        if file["path"] != "journal.jsonl":
            assert kept[file["path"]] == file
    assert (finished_run / "journal.jsonl").read_bytes().startswith(old)
    (finished_run / "manifest-1.json").write_text("{}")
    assert finding(tc)["file"] == "manifest-1.json"


def test_all_runs_are_verified_and_the_worst_decides(tc: Tc) -> None:
    assert tc("run", "verify", "--all").code == 0
    for name in ("a", "b"):
        backtest(tc, name)
    assert tc.json("run", "verify", "--all")["counts"] == {"whole": 2, "changed": 0, "unsealed": 0}
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "c")
    assert tc("run", "verify", "--all").code == 3
    (tc.run_folder("a") / "metrics.json").unlink()
    answer = tc("run", "verify", "--all", "--json")
    assert (answer.code, answer.document["counts"]) == (6, {"whole": 1, "changed": 1, "unsealed": 1})


@pytest.mark.parametrize(
    ("words", "code"),
    [(["verify"], 2), (["verify", "r1", "--all"], 2), (["verify", "nothing"], 5), (["verify", "../x"], 2),
     (["recover"], 2), (["recover", "nothing"], 5), (["report", "nothing"], 5)],
)  # fmt: skip
def test_what_is_not_a_run_is_refused(tc: Tc, words: list[str], code: int) -> None:
    answer = tc("run", *words)
    assert (answer.code, answer.out, answer.err.count("tc: error: ")) == (code, "", 1)


# --- init ----------------------------------------------------------------------------------------------------------


def test_a_backtest_goes_on_from_init_with_the_same_spec(tc: Tc) -> None:
    spec = tc.spec(run_id="r1")
    before = tc.json("run", "init", "--spec", spec)
    assert (before["status"], before["started_at"], before["seal"]) == ("initialized", None, None)
    assert verify(tc, 3)["verdict"] == "unsealed"
    after = tc.json("run", "backtest", "--spec", spec)
    assert (after["status"], after["initialized_at"]) == ("completed", before["initialized_at"])
    assert after["input_digest"] == before["input_digest"]
    assert tc("run", "backtest", "--spec", spec).code == 5  # once
    assert tc("run", "init", "--spec", spec).code == 5
    verify(tc, 0)


def test_what_a_process_left_that_was_killed_before_the_start_goes(tc: Tc) -> None:
    """As `kill -9` leaves it while the kill switch's state is recorded."""
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    (tc.run_folder("r1") / ".metadata.json.1234.tmp").write_text('{"run_id": "r1"')
    assert tc.json("run", "recover", "r1")["runs"][0]["action"] == "unchanged"
    backtest(tc)
    assert not list(tc.run_folder("r1").glob(".*"))
    assert verify(tc, 0)["findings"] == []


def test_another_spec_is_refused_with_what_differs(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    before = {path: path.read_bytes() for path in tc.run_folder("r1").rglob("*") if path.is_file()}
    spec = tc.spec(strategy="order_lifecycle_demo", account={"leverage": 3})
    answer = tc("run", "backtest", "--spec", spec, "--run-id", "r1", "--json")
    assert answer.code == 5
    assert answer.document["error"]["differences"] == [
        {"field": "account.leverage", "before": "10", "after": "3"},
        {"field": "strategy.name", "before": "ops_smoke_demo", "after": "order_lifecycle_demo"},
    ]
    assert before == {path: path.read_bytes() for path in tc.run_folder("r1").rglob("*") if path.is_file()}


def test_what_changed_between_init_and_start_is_what_the_run_is_known_by(tc: Tc) -> None:
    folder = tc.home / "own"
    shutil.copytree(Path(__file__).parents[1] / "strategies" / "good" / "values", folder)
    spec = tc.own_spec(folder, (folder / "strategy.yaml").read_text())
    before = tc.json("run", "init", "--spec", spec, "--run-id", "r1")
    (folder / "values.py").write_text((folder / "values.py").read_text() + "\n# more\n")
    after = tc.json("run", "backtest", "--spec", spec, "--run-id", "r1")
    assert after["identity"]["code_digest"] != before["identity"]["code_digest"]
    fresh = tc.json("run", "backtest", "--spec", spec, "--run-id", "r2")
    assert after["input_digest"] == fresh["input_digest"]
    assert (tc.run_folder("r1") / "inputs/strategy/values.py").read_text().endswith("# more\n")


# --- owners --------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(long_tc: Callable[[], Tc], request: pytest.FixtureRequest) -> tuple[Tc, str]:
    """A run whose `tc` was killed on its way."""
    tc = long_tc()
    run_id = "dead-" + request.node.name[-40:].replace("_", "-").strip("-[].")
    process = tc.start("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", run_id)
    live = tc.home / "runtime/live" / f"{run_id}.json"
    wait_until(live.exists, f"the heartbeat of {run_id}")
    reached = "scenario_action_triggered"
    wait_until(lambda: any(event["event"] == reached for event in tc.events(run_id)), reached)
    process.kill()
    process.communicate(timeout=300)
    return tc, run_id


def owned_by(tc: Tc, run_id: str, **changes: Any) -> None:
    """Give a dead run another owner, as if it had been made so."""
    from opslab.runs.record.state import read_state
    from opslab.store.runs.run_folders import write_metadata

    folder = tc.run_folder(run_id)
    lines = (folder / "journal.jsonl").read_text().splitlines()
    kept = []
    prev: str | None = None
    for line in lines:
        event = json.loads(line)
        if event["event"] == "run_started":
            event["payload"]["owner"].update(changes)
        event["prev"] = prev
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=False) + "\n"
        prev = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        kept.append(text)
    (folder / "journal.jsonl").write_text("".join(kept))
    write_metadata(folder, read_state(folder))
    live = tc.home / "runtime/live" / f"{run_id}.json"
    document = json.loads(live.read_text())
    document["owner"].update(changes)
    live.write_text(json.dumps(document))


def status(tc: Tc, run_id: str) -> tuple[str, str | None]:
    shown = tc.json("run", "show", run_id)
    (listed,) = [row for row in tc.json("run", "list")["runs"] if row["run_id"] == run_id]
    assert (listed["status"], listed["ended_by"]) == (shown["status"], shown["ended_by"])
    return shown["status"], shown["ended_by"]


GONE = ("interrupted", "owner_gone")


def test_a_dead_run_is_settled_once_and_is_whole_afterwards(dead: tuple[Tc, str]) -> None:
    tc, run_id = dead
    assert status(tc, run_id) == GONE
    assert verify(tc, 3, run_id)["verdict"] == "unsealed"
    (done,) = tc.json("run", "recover", run_id)["runs"]
    assert done["action"] == "settled"
    run = tc.json("run", "show", run_id)
    assert (run["status"], run["ended_by"], run["live"]) == (*GONE, None)
    assert run["started_at"] < run["ended_at"] < run["recovered_at"]
    assert verify(tc, 0, run_id)["verdict"] == "whole"
    assert json.loads((tc.run_folder(run_id) / "manifest.json").read_text())["sealed_by"] == "recover"
    assert (tc.run_folder(run_id) / "report.md").exists()
    before = {path: path.read_bytes() for path in tc.run_folder(run_id).rglob("*") if path.is_file()}
    (again,) = tc.json("run", "recover", run_id)["runs"]
    assert again["action"] == "unchanged"
    assert before == {path: path.read_bytes() for path in tc.run_folder(run_id).rglob("*") if path.is_file()}


def test_a_settled_runs_log_has_no_path_of_this_machine(tc: Tc) -> None:
    folder = tc.home / "own"
    folder.mkdir()
    (folder / "talks.py").write_text(TALKS)
    spec = tc.own_spec(folder, {"path": "talks:Talks"})
    process = tc.start("run", "backtest", "--spec", spec, "--run-id", "r1")
    log = tc.run_folder("r1") / "logs" / "engine.log"
    wait_until(lambda: log.exists() and b"I am" in log.read_bytes(), "the strategy to say something")
    process.kill()
    process.communicate(timeout=300)
    tc.ok("run", "recover", "r1")
    assert "I am" in log.read_text()
    assert str(tc.home) not in log.read_text()
    verify(tc, 0)


TALKS = """
import time
from nautilus_trader.trading import Strategy

class Talks(Strategy):
    def on_start(self):
        print("I am", __file__)
        while True:
            time.sleep(0.01)
"""


def test_a_living_run_is_not_taken_over(long_tc: Callable[[], Tc]) -> None:
    tc = long_tc()
    process = tc.start("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", "living")
    reached = "scenario_action_triggered"
    wait_until(lambda: any(event["event"] == reached for event in tc.events("living")), reached)
    process.send_signal(signal.SIGSTOP)  # it lives, and waits for us
    assert tc.json("run", "show", "living")["live"]["bars_total"] == 2_000_000
    for words in (["recover", "living"], ["report", "living"], ["backtest", "--spec", tc.spec(), "--run-id", "living"]):
        assert tc("run", *words).code == 5, words
    assert verify(tc, 3, "living")["status"] == "running"
    rows = {row["run_id"]: row["action"] for row in tc.json("run", "recover", "--all")["runs"]}
    assert rows["living"] == "refused"
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=300)
    assert process.returncode == 0
    verify(tc, 0, "living")


def test_a_reused_pid_and_a_reboot_are_not_the_owner(dead: tuple[Tc, str]) -> None:
    tc, run_id = dead
    owned_by(tc, run_id, pid=os.getpid())  # lives, but began at another time
    assert status(tc, run_id) == GONE
    owned_by(tc, run_id, process_start=start_of(os.getpid()))
    assert status(tc, run_id) == ("running", None)  # now it is this very process
    assert tc("run", "recover", run_id).code == 5
    owned_by(tc, run_id, boot_id="another boot of this machine")
    assert status(tc, run_id) == GONE
    assert tc.json("run", "recover", run_id)["runs"][0]["action"] == "settled"


def start_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_an_owner_in_another_container_is_known_by_its_lock(dead: tuple[Tc, str]) -> None:
    tc, run_id = dead
    owned_by(tc, run_id, pid_namespace="pid:[1]", host="a-container")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tc.run_folder(run_id))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    assert status(tc, run_id) == ("running", None)
    assert tc("run", "recover", run_id).code == 5
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert status(tc, run_id) == GONE
    assert tc.json("run", "recover", run_id)["runs"][0]["action"] == "settled"


def test_an_owner_on_another_machine_is_gone_only_when_somebody_says_so(dead: tuple[Tc, str]) -> None:
    tc, run_id = dead
    owned_by(tc, run_id, host="far-away", boot_id="another")
    live = tc.home / "runtime/live" / f"{run_id}.json"
    document = json.loads(live.read_text())
    live.write_text(json.dumps({**document, "heartbeat_at": "2999-01-01T00:00:00.000000Z"}))
    assert status(tc, run_id) == ("running", None)
    assert tc("run", "recover", run_id, "--gone-host", "far-away").code == 5  # it has just been heard of
    live.write_text(json.dumps({**document, "heartbeat_at": "2001-01-01T00:00:00.000000Z"}))
    assert status(tc, run_id) == GONE
    assert tc("run", "recover", run_id).code == 5
    assert tc("run", "recover", run_id, "--gone-host", "another-one").code == 5
    assert tc("run", "recover", run_id, "--gone-host", "far-away").code == 0
    verify(tc, 0, run_id)

"""`tc kill`: blocked runs, recorded changes, and damaged or full storage."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opslab.killswitch.switch import read_switch
from opslab.model.primitives.ids import RunId
from opslab.store.layout import Layout
from opslab.store.runs.journal import Journal
from opslab.system import SystemClock
from tests.drivers.tc import Answer, Tc, wait_until
from tests.drivers.tools import need_tools

SAFETY = {
    "state", "scope", "file", "reason", "actor", "activated_at", "cleared_at", "cleared_by", "clear_reason", "problem",
    "observed_by", "checked_at",
}  # fmt: skip
CORRUPT = {"empty": b"", "torn": b'{\n  "state": "cleared"', "binary": b"\x00\xff", "other": b'{"state": "cleared"}'}


def folder(tc: Tc) -> Path:
    return tc.home / "runtime" / "kill_switch"


def activate(tc: Tc, *scope: str, reason: str = "odd") -> Any:
    return tc.json("kill", "activate", *scope, "--reason", reason)


def clear(tc: Tc, *scope: str, reason: str = "fine") -> Any:
    return tc.json("kill", "clear", *scope, "--reason", reason)


def backtest(tc: Tc, run_id: str, **spec: Any) -> Answer:
    return tc("run", "backtest", "--spec", tc.spec(**spec), "--run-id", run_id, "--json")


def names(tc: Tc, run_id: str) -> list[str]:
    return [event["event"] for event in tc.events(run_id)]


def bytes_of(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def metadata(tc: Tc, run_id: str) -> Any:
    return json.loads((tc.run_folder(run_id) / "metadata.json").read_text())


# The gate


def test_blocked_cleared_run(tc: Tc) -> None:
    switch = activate(tc, "--all")
    assert (switch["state"], switch["home"]) == ("active", str(tc.home))
    blocked = backtest(tc, "r1")
    assert (blocked.code, blocked.document["status"], blocked.document["ended_by"]) == (
        4, "safety_blocked", "kill_switch",
    )  # fmt: skip
    assert "tc kill clear --all" in blocked.err
    assert names(tc, "r1") == ["run_initialized", "kill_switch_observed", "run_safety_blocked"]
    assert not (tc.home / "runtime" / "work").exists()
    tc.ok("run", "verify", "r1")
    clear(tc, "--all")
    assert backtest(tc, "r1").code == 5, "a run is started once"
    assert metadata(tc, "r1")["safety"]["state"] == "active", "what was recorded stays"
    tc.ok("run", "verify", "r1")
    ran = backtest(tc, "r2")
    assert (ran.code, ran.document["status"], ran.document["safety"]["state"]) == (0, "completed", "cleared")


def test_a_blocked_run_has_artifacts_with_the_reason(tc: Tc) -> None:
    switch = activate(tc, "--run-id", "r1", reason="prices look | <odd>")
    assert backtest(tc, "r1").code == 4
    run = tc.run_folder("r1")
    assert {"run_spec.yaml", "metadata.json", "journal.jsonl", "manifest.json", "report.md", "report.html"} <= {
        path.name for path in run.iterdir()
    }
    safety = metadata(tc, "r1")["safety"]
    assert set(safety) == SAFETY
    same = ("state", "scope", "reason", "actor", "activated_at")
    assert {name: safety[name] for name in same} == {name: switch[name] for name in same}
    assert (safety["file"], safety["observed_by"]) == ("runtime/kill_switch/r1.state.json", "start_gate")
    observed = tc.events("r1")[1]["payload"]
    assert observed == safety
    section = (run / "report.md").read_text().split("## Safety status\n")[1].split("\n## ")[0]
    assert "prices look \\| <odd>" in section
    assert "runtime/kill_switch/r1.state.json" in section
    html = (run / "report.html").read_text().split("<h2>Safety status</h2>")[1].split("<h2>")[0]
    assert "&lt;odd&gt;" in html


@pytest.mark.parametrize("before", ["absent", "cleared"])
def test_a_run_that_may_start_records_it_with_the_same_digests(tc: Tc, before: str) -> None:
    backtest(tc, "r0")
    if before == "cleared":
        activate(tc, "--run-id", "r1")
        clear(tc, "--run-id", "r1")
    run = backtest(tc, "r1").document
    assert (run["status"], run["safety"]["state"]) == ("completed", before)
    assert names(tc, "r1")[:3] == ["run_initialized", "kill_switch_observed", "run_started"]
    assert "## Safety status" in (tc.run_folder("r1") / "report.md").read_text()
    for digest in ("input_digest", "result_digest"):
        assert run[digest] == metadata(tc, "r0")[digest]


def test_a_switch_of_one_run_stops_no_other_and_init_is_never_stopped(tc: Tc) -> None:
    activate(tc, "--run-id", "r1")
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    assert backtest(tc, "r2").code == 0
    assert backtest(tc, "r1").code == 4


@pytest.mark.parametrize("name", ["r1", "_all"])
@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_switch_that_cannot_be_read_blocks_until_it_is_cleared(tc: Tc, name: str, data: bytes) -> None:
    folder(tc).mkdir(parents=True)
    (folder(tc) / f"{name}.state.json").write_bytes(data)
    blocked = backtest(tc, "r1")
    assert (blocked.code, blocked.document["safety"]["state"]) == (4, "active")
    assert blocked.document["safety"]["problem"]
    clear(tc, *(["--all"] if name == "_all" else ["--run-id", "r1"]))
    assert backtest(tc, "r2").code == 0


def test_a_switch_folder_that_is_not_a_folder_blocks_every_run(tc: Tc) -> None:
    (tc.home / "runtime").mkdir()
    folder(tc).symlink_to("elsewhere")
    assert backtest(tc, "r1").code == 4
    status = tc.json("kill", "status", "--run-id", "r1")
    assert (status["state"], status["scope"], bool(status["problem"])) == ("active", "all", True)
    assert tc.json("kill", "status")["problem"]
    assert tc("kill", "activate", "--all", "--reason", "odd").code == 5
    folder(tc).unlink()
    assert backtest(tc, "r2").code == 0


def test_reproduce_obeys_the_switch_and_gives_no_verdict(tc: Tc) -> None:
    assert backtest(tc, "r1").code == 0
    activate(tc, "--all")
    answer = tc("run", "reproduce", "r1", "--times", "3", "--json")
    assert (answer.code, answer.document["error"]["exit_code"]) == (4, 4)
    assert [row["run_id"] for row in tc.json("run", "list", "--status", "safety_blocked")["runs"]] == ["r1-again-1"]
    clear(tc, "--all")
    assert tc.json("run", "reproduce", "r1")["verdict"] == "pass"


@pytest.mark.parametrize("ended", [False, True], ids=["observed", "ended"])
def test_a_run_whose_process_died_at_the_gate_can_be_recovered(tc: Tc, ended: bool) -> None:
    activate(tc, "--all")
    assert backtest(tc, "model").code == 4
    _, observed, end = tc.events("model")
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    with Journal(tc.run_folder("r1"), SystemClock()) as journal:
        journal.append(observed["event"], observed["payload"])
        if ended:
            journal.append(end["event"], end["payload"])
    recovered = tc.json("run", "recover", "r1")["runs"][0]
    assert recovered["action"] == ("sealed" if ended else "unchanged")
    run = tc.json("run", "show", "r1")
    assert (run["status"], run["safety"]["state"]) == ("safety_blocked" if ended else "initialized", "active")
    assert tc("run", "verify", "r1").code == (0 if ended else 3)
    clear(tc, "--all")
    assert backtest(tc, "r1").code == (5 if ended else 0)
    tc.ok("run", "verify", "r1")


# Records in the journals of runs


def test_a_switch_is_recorded_in_an_initialized_run_which_can_still_start(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    activate(tc, "--run-id", "r1")
    assert metadata(tc, "r1")["safety"]["observed_by"] == "command"
    activate(tc, "--all")
    clear(tc, "--run-id", "r1")
    assert metadata(tc, "r1")["safety"]["scope"] == "all"
    clear(tc, "--all")
    assert metadata(tc, "r1")["safety"]["state"] == "cleared"
    assert names(tc, "r1") == ["run_initialized", *["kill_switch_observed"] * 4]
    assert tc("run", "verify", "r1").code == 3
    assert backtest(tc, "r1").code == 0
    tc.ok("run", "verify", "r1")


def test_a_run_that_has_ended_is_not_touched(tc: Tc) -> None:
    backtest(tc, "r1")
    before = bytes_of(tc.run_folder("r1"))
    assert activate(tc, "--run-id", "r1")["notes"] == []
    assert activate(tc, "--all")["notes"] == []
    clear(tc, "--run-id", "r1")
    clear(tc, "--all")
    assert bytes_of(tc.run_folder("r1")) == before


def start_long(tc: Tc, run_id: str) -> subprocess.Popen[str]:
    process = tc.start("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", run_id)
    wait_until(lambda: "engine_started" in names(tc, run_id) or process.poll() is not None, f"{run_id} to run")
    return process


def test_a_switch_is_recorded_in_a_running_run_and_metadata_matches_the_journal(long_tc: Callable[[], Tc]) -> None:
    tc = long_tc()
    process = start_long(tc, "told")
    try:
        answer = tc.ok("kill", "activate", "--run-id", "told", "--reason", "odd")
        process.communicate(timeout=300)
        assert process.returncode == 4
        assert answer.code == 0
    finally:
        process.kill()
        process.communicate()
        clear(tc, "--run-id", "told")
    safety = metadata(tc, "told")["safety"]
    assert safety["state"] == "active"
    assert "watch" in [event["payload"].get("observed_by") for event in tc.events("told")]
    assert metadata(tc, "told")["status"] == "halted"
    tc.ok("run", "verify", "told")


def test_a_run_whose_owner_died_is_left_to_recover(long_tc: Callable[[], Tc]) -> None:
    tc = long_tc()
    process = start_long(tc, "gone")
    process.kill()
    process.communicate()
    before = (tc.run_folder("gone") / "journal.jsonl").read_bytes()
    activate(tc, "--run-id", "gone")
    clear(tc, "--run-id", "gone")
    assert (tc.run_folder("gone") / "journal.jsonl").read_bytes() == before
    tc.ok("run", "recover", "gone")
    tc.ok("run", "verify", "gone")


def test_a_missing_run_is_named_with_similar_names_and_will_be_blocked(tc: Tc) -> None:
    for run_id in ("night-1", "night-2"):
        tc.ok("run", "init", "--spec", tc.spec(), "--run-id", run_id)
    answer = activate(tc, "--run-id", "nigth-1")
    assert (answer["state"], answer["run_exists"]) == ("active", False)
    assert answer["nearest"][0] == "night-1"
    assert backtest(tc, "nigth-1").code == 4
    assert activate(tc, "--run-id", "night-1")["run_exists"]


# What it puts up with


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """By a mount: modes do not bind root, and whoever owns a folder can change them."""
    need_tools("mount", "umount")
    for words in (["--bind", str(path), str(path)], ["-o", "remount,ro,bind", str(path)]):
        if subprocess.run(["mount", *words], capture_output=True, check=False).returncode:
            pytest.skip("no right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_read_only_artifacts_give_a_note(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    with read_only(tc.home / "artifacts"):
        answer = activate(tc, "--run-id", "r1")
        assert answer["state"] == "active"
        assert len(answer["notes"]) == 1
        assert activate(tc, "--all")["state"] == "active"
    assert names(tc, "r1") == ["run_initialized"]
    assert backtest(tc, "r1").code == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_artifacts_give_a_note(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    journal = tc.run_folder("r1") / "journal.jsonl"
    journal.chmod(0o400)
    tc.run_folder("r1").chmod(0o500)
    try:
        answer = activate(tc, "--run-id", "r1")
    finally:
        tc.run_folder("r1").chmod(0o700)
    assert (answer["state"], len(answer["notes"])) == ("active", 1)
    assert names(tc, "r1") == ["run_initialized"]


def test_a_read_only_runtime_is_refused_with_a_way_out(tc: Tc) -> None:
    activate(tc, "--run-id", "r1")
    with read_only(tc.home / "runtime"):
        answer = tc("kill", "activate", "--all", "--reason", "odd", "--json")
        assert (answer.code, bool(answer.document["error"]["hint"])) == (5, True)
        assert activate(tc, "--run-id", "r1", reason="more")["reason"] == "odd"
        assert tc("kill", "clear", "--run-id", "r1", "--reason", "fine").code == 5
        assert tc.json("kill", "status", "--run-id", "r1")["state"] == "active"


def limited(tc: Tc, *words: str) -> Answer:
    """`tc` where no file may grow: what a full disk looks like, without root."""
    done = subprocess.run(
        [sys.executable, "-m", "opslab", *words],
        cwd=tc.home,
        env=tc.environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


def test_a_full_disk_leaves_an_empty_file_which_blocks(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    before = bytes_of(tc.run_folder("r1"))
    answer = limited(tc, "kill", "activate", "--run-id", "r1", "--reason", "odd", "--json")
    assert (answer.code, answer.document["state"]) == (0, "active")
    assert (folder(tc) / "r1.state.json").read_bytes() == b""
    assert bytes_of(tc.run_folder("r1")) == before
    assert limited(tc, "kill", "clear", "--run-id", "r1", "--reason", "fine").code == 5
    assert backtest(tc, "r1").code == 4


def test_fifty_concurrent_commands_leave_a_valid_switch_that_was_never_unreadable(bare_tc: Tc) -> None:
    tc = bare_tc
    activate(tc, "--all")
    layout = Layout(tc.home)
    seen: set[tuple[str, str | None]] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            switch = read_switch(layout, None)
            seen.add((switch.state, switch.problem))

    def one(number: int) -> Answer:
        word = "clear" if number % 2 else "activate"
        return tc("kill", word, "--all", "--reason", f"{word} {number}", "--actor", f"a{number}")

    reader = threading.Thread(target=look)
    reader.start()
    try:
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(one, range(50)))
    finally:
        over.set()
        reader.join()
    assert {answers[number].code for number in range(0, 50, 2)} == {0}, "every activation succeeds"
    assert {answers[number].code for number in range(1, 50, 2)} <= {0, 4, 5}
    assert {problem for _, problem in seen} == {None}
    assert {state for state, _ in seen} <= {"active", "cleared"}
    lines = [json.loads(line) for line in (folder(tc) / "_all.events.jsonl").read_text().splitlines()]
    assert sum(line["event"] == "activate" for line in lines) == 26
    assert {path.name for path in folder(tc).iterdir()} == {
        ".lock", ".spare", "_all.events.jsonl", "_all.state.json",
    }  # fmt: skip
    assert clear(tc, "--all")["state"] == "cleared"


HOLDER = """
import fcntl, os, signal, sys
lock = open(sys.argv[1], "r+b")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_stopped_process_with_the_lock_stops_no_activation(bare_tc: Tc) -> None:
    tc = bare_tc
    activate(tc, "--run-id", "r1")
    began = time.monotonic()
    activate(tc, "--run-id", "r0")
    undisturbed = time.monotonic() - began
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder(tc) / ".lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        began = time.monotonic()
        answer = activate(tc, "--all")
        assert (answer["state"], len(answer["notes"])) == ("active", 1)
        assert time.monotonic() - began < undisturbed + 5
        refused = tc("kill", "clear", "--run-id", "r1", "--reason", "fine")
        assert refused.code == 5
        assert tc.json("kill", "status", "--run-id", "r1")["state"] == "active"
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert clear(tc, "--all")["state"] == "cleared"


IMPORTS = """
import sys
said = []
def hear(event, args):
    if event == "import" and args[0] in ("pydantic", "yaml", "jinja2", "rich", "nautilus_trader", "pyarrow"):
        said.append(args[0])
    elif event == "os.rename" and str(args[1]).endswith(".state.json"):
        said.append("WRITTEN")
sys.addaudithook(hear)
from opslab.cli.app import app
app(["kill", *sys.argv[1:]], standalone_mode=False)
print("SAID", *said)
"""


@pytest.mark.parametrize("exists", [False, True], ids=["no-run", "run"])
def test_the_switch_is_written_before_anything_heavy_is_loaded(tc: Tc, exists: bool) -> None:
    if exists:
        tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    words = ["activate", "--run-id", "r1", "--reason", "odd", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *words], env=tc.environment(), capture_output=True, text=True, check=True
    )
    said = done.stdout.partition("SAID")[2].split()
    assert said[0] == "WRITTEN"
    assert ("pydantic" in said) == exists
    assert not {"yaml", "nautilus_trader", "pyarrow"} & set(said)


@pytest.mark.parametrize("words", [["status"], ["status", "--run-id", "r1"], ["clear", "--all", "--reason", "x"]])
def test_the_other_commands_load_as_little(bare_tc: Tc, words: list[str]) -> None:
    activate(bare_tc, "--all")
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *words], env=bare_tc.environment(), capture_output=True, text=True, check=True
    )
    assert set(done.stdout.partition("SAID")[2].split()) <= {"WRITTEN"}


# Answers


def test_status_exits_with_0_in_every_state(bare_tc: Tc) -> None:
    tc = bare_tc
    absent = tc.json("kill", "status", "--run-id", "r1")
    assert (absent["state"], absent["home"], absent["home_source"]) == ("absent", str(tc.home), "TC_HOME")
    assert tc.json("kill", "status")["switches"] == []
    assert not list(tc.home.iterdir()), "asking leaves nothing"
    activate(tc, "--run-id", "r1", reason="mine")
    active = tc.json("kill", "status", "--run-id", "r1")
    assert (active["decided_by"], active["reason"]) == ("runtime/kill_switch/r1.state.json", "mine")
    assert tc.json("kill", "status", "--all")["state"] == "absent"
    activate(tc, "--all", reason="everybody")
    clear(tc, "--run-id", "r1")
    decided = tc.json("kill", "status", "--run-id", "r1")
    assert (decided["state"], decided["scope"], decided["reason"]) == ("active", "all", "everybody")
    assert [switch["state"] for switch in decided["switches"]] == ["cleared", "active"]
    assert [switch["run_id"] for switch in tc.json("kill", "status")["switches"]] == [None, "r1"]
    assert str(tc.home) in tc.ok("kill", "status").err


def test_clearing_one_of_two_reports_that_the_other_is_still_active(bare_tc: Tc) -> None:
    activate(bare_tc, "--all")
    activate(bare_tc, "--run-id", "r1")
    answer = clear(bare_tc, "--run-id", "r1")
    assert (answer["action"], answer["state"], answer["scope"]) == ("cleared", "active", "all")
    assert answer["notes"]


def test_clearing_an_inactive_switch_changes_nothing(bare_tc: Tc) -> None:
    answer = clear(bare_tc, "--all")
    assert (answer["action"], answer["state"]) == ("unchanged", "absent")
    assert not list(bare_tc.home.iterdir())


def test_the_home_is_the_requested_one(bare_tc: Tc) -> None:
    other = bare_tc.home / "other"
    answer = activate(bare_tc, "--all", "--home", str(other))
    assert (answer["home"], answer["home_source"]) == (str(other), "--home")
    assert any(str(other) in note for note in answer["notes"]), "it was not there before"
    assert bare_tc.json("kill", "status", "--all")["state"] == "absent"
    assert str(other) in bare_tc.ok("kill", "status", "--home", str(other)).err


def test_the_actor_is_the_option_or_the_login_name(bare_tc: Tc) -> None:
    assert activate(bare_tc, "--all", "--actor", "ann")["actor"] == "ann"
    assert activate(bare_tc, "--run-id", "r1")["actor"]


@pytest.mark.parametrize("word", ["activate", "clear"])
@pytest.mark.parametrize(
    "words",
    [
        ["--all"],
        ["--all", "--reason", ""],
        ["--all", "--reason", " \t"],
        ["--all", "--reason", "a\nb"],
        ["--all", "--reason", "x" * 501],
        ["--all", "--reason", "x", "--actor", ""],
        ["--all", "--reason", "x", "--actor", "y" * 101],
        ["--all", "--reason", "x", "--actor", "\x1b]0;y"],
        ["--reason", "x"],
        ["--all", "--run-id", "r1", "--reason", "x"],
        ["--run-id", "../x", "--reason", "x"],
        ["--run-id", "_all", "--reason", "x"],
        ["--run-id", "", "--reason", "x"],
    ],
)
def test_invalid_requests_are_refused_and_write_nothing(bare_tc: Tc, word: str, words: list[str]) -> None:
    answer = bare_tc("kill", word, *words, "--json")
    assert (answer.code, answer.document["error"]["exit_code"]) == (2, 2)
    assert not list(bare_tc.home.iterdir())


def test_a_run_id_of_any_form_has_a_switch_of_its_own(bare_tc: Tc) -> None:
    ids = ["a", "a.state", "a.state.json", "A", "x" * 64]
    for run_id in ids:
        activate(bare_tc, "--run-id", run_id, reason=run_id)
    layout = Layout(bare_tc.home)
    assert [read_switch(layout, RunId(run_id)).reason for run_id in ids] == ids
    shutil.rmtree(folder(bare_tc))
    assert read_switch(layout, RunId("a")).state == "absent"

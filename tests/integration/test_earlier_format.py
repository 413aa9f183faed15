"""A home that an unreleased earlier version wrote: one clear message for each of its runs, and its kill switch holds.

The lines are those that format 1 had, byte for byte but for digests.
"""

import hashlib
import json
from pathlib import Path

import pytest

from tests.drivers.tc import Tc

IDENTITY = (
    '"identity":{"spec_digest":"sha256:b6","dataset_fingerprint":"sha256:62","code_digest":"sha256:cc",'
    '"engine_version":"2.0.0rc7","python_version":"3.13.0"},"input_digest":"sha256:ec","git":null,'
    '"lab_version":"0.1.0","reproduces":null,"spec_file_digest":"sha256:ab"}'
)
INITIALIZED = (
    '"time":"2026-11-29T15:30:47.332737Z","event":"run_initialized","payload":{"run_id":"RUN","mode":"MODE",'
    '"strategy":{"name":"ops_smoke_demo","version":"v1"},"venue":"binance","instrument":"BTCUSDT",'
    '"risk_profile":"standard","dataset":{"name":"btcusdt-sample","kind":"synthetic","fingerprint":"sha256:62",'
    '"rows":10080,"first_open":"2024-01-01T00:00:00Z","last_open":"2024-01-07T23:59:00Z","start":null,"end":null,'
    '"allowed":[]},' + IDENTITY
)
STARTED = (
    '"time":"2026-11-29T15:32:10.617125Z","event":"run_started","payload":{"owner":{"host":"vm",'
    '"boot_id":"de16d17b-f3c0-4906-a039-d5bb5f00b4c0","pid":23861,"process_start":198208,"pid_namespace":null}}'
)
HEARTBEAT = (
    '"time":"2026-11-29T15:32:14.471931Z","event":"paper_heartbeat","payload":{"engine":1,"beat":{"number":1,'
    '"at":"2026-11-29T15:32:14.458676Z","bars":0,"quotes":2,"trades":0,"last_bar_ns":null,'
    '"ages_seconds":{"bars":null,"quotes":0.009203,"trades":null},"feeds":{"bars":"recovering","quotes":"live",'
    '"trades":"recovering"},"sockets":{},"queue":{"state":"normal","depth":null},"gate_closed":false,"gated":0,'
    '"memory_bytes":164974592,"event_lag_ms":0.463,"timer_lag_ms":11.207,"order_trips_ms":[],"node":{"ask":0,'
    '"account":{"snapshot_version":"v1","as_of":"2026-11-29T15:32:14.458676Z","positions":[],"open_orders":[],'
    '"balances":[]},"waiting":[],"venue_order_ids":{}}},"venue":null}'
)
GATE_CLOSED = '"time":"2026-11-29T15:32:20.000000Z","event":"gate_closed","payload":{"why":"max_bars"}'
COMPLETED = (
    '"time":"2026-11-29T15:30:50.208337Z","event":"run_completed","payload":{"metrics":{"strategy_registered":1,'
    '"bars_seen":10080,"deterministic_action_triggered":1,"orders_submitted":0,"fills_count":0,"orders_denied":0,'
    '"orders_rejected":0,"orders_canceled":0},"engine_cost":{"elapsed_seconds":0.16,"bars_per_second":61542.0,'
    '"peak_memory_bytes":221249536},"denial_reasons":{},"artifacts":{},"result_digest":"sha256:80"}'
)
METADATA = """{
  "metadata_version": "v1",
  "run_id": "sealed",
  "mode": "backtest",
  "status": "completed",
  "initialized_at": "2026-11-29T15:30:47.332737Z",
  "started_at": "2026-11-29T15:32:10.617125Z",
  "ended_at": "2026-11-29T15:30:50.208337Z",
  "strategy": {
    "name": "ops_smoke_demo",
    "version": "v1"
  },
  "venue": "binance",
  "instrument": "BTCUSDT",
  "risk_profile": "standard",
  "lab_version": "0.1.0"
}
"""
MANIFEST = """{
  "manifest_version": "v1",
  "run_id": "sealed",
  "number": 1,
  "sealed_at": "2026-11-29T15:30:50.220513Z",
  "sealed_by": "run",
  "status": "completed",
  "lab_version": "0.1.0",
  "previous": null,
  "line_checks": "sha256:5e",
  "files": [],
  "seal": "sha256:00"
}
"""
SWITCH = """{
  "state": "active",
  "scope": "run",
  "run_id": "next",
  "reason": "prices look odd",
  "actor": "ann",
  "activated_at": "2026-11-29T15:31:30.736965Z",
  "cleared_at": null,
  "cleared_by": null,
  "clear_reason": null
}
"""
TEXT = "was recorded by an unreleased earlier version (format 1); this tc reads format 2"
OLD = ("initialized", "dead", "sealed")


def write_journal(folder: Path, mode: str, *lines: str) -> None:
    """The chain is ours, the lines are theirs."""
    prev = "null"
    folder.mkdir(parents=True)
    with open(folder / "journal.jsonl", "wb") as stream:
        for seq, line in enumerate(lines, 1):
            named = line.replace("RUN", folder.name).replace("MODE", mode)
            data = f'{{"seq":{seq},{named},"prev":{prev}}}\n'.encode()
            stream.write(data)
            prev = f'"sha256:{hashlib.sha256(data).hexdigest()}"'


@pytest.fixture
def old(tc: Tc) -> Tc:
    """A home with an initialized backtest, a paper run whose owner died, a sealed backtest, and an active switch."""
    write_journal(tc.run_folder("initialized"), "backtest", INITIALIZED)
    write_journal(tc.run_folder("dead"), "paper", INITIALIZED, STARTED, HEARTBEAT, GATE_CLOSED)
    write_journal(tc.run_folder("sealed"), "backtest", INITIALIZED, STARTED, COMPLETED)
    (tc.run_folder("sealed") / "metadata.json").write_text(METADATA)
    (tc.run_folder("sealed") / "manifest.json").write_text(MANIFEST)
    for name in OLD:
        spec = Path(tc.spec(mode="paper" if name == "dead" else "backtest"))
        spec.rename(tc.run_folder(name) / "run_spec.yaml")
    switches = tc.home / "runtime" / "kill_switch"
    switches.mkdir(parents=True)
    (switches / "next.state.json").write_text(SWITCH)
    return tc


@pytest.mark.parametrize("name", OLD)
def test_every_command_on_a_run_of_an_earlier_format_says_so(old: Tc, name: str) -> None:
    files = {path: path.read_bytes() for path in old.run_folder(name).iterdir()}
    commands = [["run", verb, name] for verb in ("show", "verify", "report", "recover", "reproduce")]
    commands += [["run", "compare", name, name], ["reconcile", "check", "--from-run", name]]
    commands += [["run", "acknowledge", name, "--reason", "x"]]
    commands += [["connectivity", "readiness", "--spec", str(old.run_folder(name) / "run_spec.yaml"), "--run-id", name]]
    for words in commands:
        answer = old(*words)
        assert (answer.code, answer.out) == (6, ""), words
        assert answer.err == (
            f"tc: error: run {name} {TEXT}\n"
            "tc: hint: to have it in format 2, run its spec again under another --run-id\n"
        ), words
    error = old("run", "show", name, "--json").document["error"]
    assert (error["exit_code"], error["message"]) == (6, f"run {name} {TEXT}")
    assert {path: path.read_bytes() for path in old.run_folder(name).iterdir()} == files


def test_a_command_on_all_runs_goes_past_those_of_an_earlier_format(old: Tc) -> None:
    old.ok("run", "backtest", "--spec", old.spec(), "--run-id", "new")
    rows = {row["run_id"]: row for row in old.json("run", "list")["runs"]}
    assert {name: row["status"] for name, row in rows.items()} == {"new": "completed", **dict.fromkeys(OLD)}
    assert {rows[name]["error"] for name in OLD} == {f"run {name} {TEXT}" for name in OLD}
    assert old.json("run", "list") == old.json("run", "list")

    verified = old("run", "verify", "--all", "--json")
    findings = {one["run_id"]: [(each["kind"], each["message"]) for each in one["findings"]]
                for one in verified.document["runs"]}  # fmt: skip
    assert (verified.code, findings) == (6, {"new": [], **{name: [("unreadable", TEXT)] for name in OLD}})

    recovered = old("run", "recover", "--all", "--json")
    actions = {one["run_id"]: (one["action"], one["message"]) for one in recovered.document["runs"]}
    assert (recovered.code, actions.pop("new")[0], actions) == (
        6, "unchanged", dict.fromkeys(OLD, ("unreadable", TEXT)),
    )  # fmt: skip


def test_a_spec_does_not_go_on_from_a_run_of_an_earlier_format(old: Tc) -> None:
    answer = old("run", "backtest", "--spec", old.spec(), "--run-id", "initialized")
    assert (answer.code, f"run initialized {TEXT}" in answer.err) == (6, True)


def test_a_kill_switch_of_before_is_still_active(old: Tc) -> None:
    assert old.json("kill", "status", "--run-id", "next")["state"] == "active"
    blocked = old("run", "backtest", "--spec", old.spec(), "--run-id", "next")
    assert (blocked.code, "prices look odd" in blocked.err) == (4, True)


def test_activating_the_switch_of_a_run_of_an_earlier_format_works(old: Tc) -> None:
    answer = old("kill", "activate", "--run-id", "initialized", "--reason", "enough", "--json")
    assert (answer.code, answer.document["state"]) == (0, "active")
    assert any(TEXT in note for note in answer.document["notes"])


def test_a_new_run_says_its_format(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    assert tc.events("r1")[0]["payload"]["format"] == 2
    journal = tc.run_folder("r1") / "journal.jsonl"
    line = json.loads(journal.read_text())
    line["payload"]["format"] = 3
    journal.write_text(json.dumps(line, separators=(",", ":")) + "\n")
    answer = tc("run", "show", "r1")
    assert (answer.code, answer.err.splitlines()[0]) == (
        6, "tc: error: run r1 was recorded by another version (format 3); this tc reads format 2",
    )  # fmt: skip

"""`tc run acknowledge`: a run that ended badly is reported until an operator acknowledges it."""

import json
from pathlib import Path
from typing import Any

import pytest

from opslab.lab.context import context_of
from opslab.model.primitives.ids import RunId
from opslab.runs.checks import later_event
from opslab.runs.checks.acknowledgement import acknowledge
from opslab.settings import resolve_for_process
from opslab.store.runs.journal import Journal
from opslab.system import SystemClock, SystemProcesses
from tests.drivers.tc import Answer, Tc

EXAMPLES = Path(__file__).parents[2] / "examples" / "reconciliation"
ACKNOWLEDGE = ("run", "acknowledge", "r1", "--reason", "disk was full", "--actor", "ann")


@pytest.fixture
def died(tc: Tc, finished_run: Path) -> Tc:
    """A home with the run `r1`, whose owner died after the start."""
    lines = (finished_run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    started = next(number for number, line in enumerate(lines) if b'"run_started"' in line)
    (finished_run / "journal.jsonl").write_bytes(b"".join(lines[: started + 1]))
    for path in (*finished_run.glob("manifest*"), finished_run / "metadata.json"):
        path.unlink()
    for path in finished_run.glob("*.jsonl"):
        if path.name != "journal.jsonl":
            path.unlink()
    return tc


@pytest.fixture
def interrupted(died: Tc) -> Tc:
    died.ok("run", "recover", "r1")
    return died


def verify(tc: Tc) -> dict[str, Any]:
    document: dict[str, Any] = tc.json("run", "verify", "r1")
    assert (document["verdict"], document["findings"]) == ("whole", [])
    return document


def reconcile(tc: Tc, observed: str) -> None:
    files = ("--expected", str(EXAMPLES / "expected.json"), "--observed", str(EXAMPLES / f"{observed}.json"))
    answer = tc("reconcile", "check", "--run-id", "r1", *files, "--max-age-seconds", "1000000000")
    assert answer.code == (1 if observed == "mismatch" else 0), answer.err


def unacknowledged(tc: Tc) -> list[str]:
    return [row["run_id"] for row in tc.json("run", "list", "--unacknowledged")["runs"]]


def listed(tc: Tc) -> dict[str, Any]:
    (row,) = tc.json("run", "list")["runs"]
    return dict(row)


def test_an_interrupted_run_is_listed_until_it_is_acknowledged(interrupted: Tc) -> None:
    note = (
        "tc: 1 run is not acknowledged (tc run list --unacknowledged lists them); hint: tc run acknowledge ID --reason"
    )
    assert note in interrupted.ok("run", "list").err
    assert unacknowledged(interrupted) == ["r1"]
    before = {name: interrupted.json("run", "show", "r1")[name] for name in ("status", "ended_by", "ended_at")}
    sealed = verify(interrupted)
    journal = (interrupted.run_folder("r1") / "journal.jsonl").read_bytes()

    answer = interrupted.json(*ACKNOWLEDGE)
    assert answer["acknowledged"].keys() == {"at", "actor", "reason"}
    assert (answer["acknowledged"]["actor"], answer["acknowledged"]["reason"]) == ("ann", "disk was full")
    assert (answer["run_id"], answer["status"], answer["replaced"]) == ("r1", "interrupted", None)

    after = verify(interrupted)
    assert (after["seal_number"], after["seal"]) == (sealed["seal_number"] + 1, answer["seal"])
    manifest = json.loads((interrupted.run_folder("r1") / "manifest.json").read_text())
    assert manifest["sealed_by"] == "acknowledge"
    assert (interrupted.run_folder("r1") / "journal.jsonl").read_bytes().startswith(journal)
    event = interrupted.events("r1")[-1]
    assert (event["event"], event["payload"]) == ("run_acknowledged", {"reason": "disk was full", "actor": "ann"})
    assert event["time"] == answer["acknowledged"]["at"]

    shown = interrupted.json("run", "show", "r1")
    assert shown["acknowledged"] == answer["acknowledged"]
    assert {name: shown[name] for name in before} == before
    lines = [line.split() for line in interrupted.ok("run", "show", "r1").out.splitlines()]
    assert ["acknowledged", event["time"], "by", "ann:", "disk", "was", "full"] in lines
    assert "disk was full" in (interrupted.run_folder("r1") / "report.md").read_text()
    assert "disk was full" in (interrupted.run_folder("r1") / "report.html").read_text()
    assert (unacknowledged(interrupted), listed(interrupted)["acknowledged_at"]) == ([], event["time"])
    assert "not acknowledged" not in interrupted.ok("run", "list").err


def test_a_second_acknowledgement_replaces_the_first_and_names_it(interrupted: Tc) -> None:
    first = interrupted.json(*ACKNOWLEDGE)["acknowledged"]
    answer = interrupted.ok("run", "acknowledge", "r1", "--reason", "the disk was replaced", "--actor", "bob", "--json")
    assert answer.document["replaced"] == first
    assert answer.err == f"tc: this replaces the acknowledgement of {first['at']} by ann: disk was full\n"
    now = interrupted.json("run", "show", "r1")["acknowledged"]
    assert (now["actor"], now["reason"]) == ("bob", "the disk was replaced")
    assert now["at"] > first["at"]
    assert [event["event"] for event in interrupted.events("r1")].count("run_acknowledged") == 2
    assert verify(interrupted)["seal_number"] == 3


def test_a_completed_run_is_acknowledged_too_and_a_later_mismatch_reports_it_again(tc: Tc, finished_run: Path) -> None:
    assert finished_run.is_dir()
    assert (listed(tc)["reconciliation"], listed(tc)["acknowledged_at"]) == (None, None)
    at = tc.json(*ACKNOWLEDGE)["acknowledged"]["at"]
    reconcile(tc, "ok")
    assert (listed(tc)["reconciliation"], listed(tc)["acknowledged_at"]) == ("ok", at)
    reconcile(tc, "mismatch")
    assert (unacknowledged(tc), listed(tc)["reconciliation"], listed(tc)["acknowledged_at"]) == (
        ["r1"],
        "mismatch",
        None,
    )
    tc.ok(*ACKNOWLEDGE)
    assert unacknowledged(tc) == []
    verify(tc)


def refused(tc: Tc, code: int, error: str, hint: str) -> None:
    journal = tc.run_folder("r1") / "journal.jsonl"
    before = journal.read_bytes()
    answer: Answer = tc(*ACKNOWLEDGE)
    assert answer.code == code, answer.err
    assert f"tc: error: {error}" in answer.err
    assert f"tc: hint: {hint}" in answer.err
    assert journal.read_bytes() == before


def test_a_run_that_has_not_ended_is_refused(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    refused(tc, 5, "run r1 was never started", "a run can be acknowledged after it has ended")
    owner = SystemProcesses(lambda *_: False).this_process()
    with Journal(tc.run_folder("r1"), SystemClock()) as journal:
        journal.append("run_started", {"owner": owner.model_dump()})
    refused(tc, 5, "run r1 is running", "wait for its end, or stop it; tc run show r1")


def test_a_run_whose_owner_died_is_recovered_first(died: Tc) -> None:
    assert unacknowledged(died) == ["r1"]
    refused(died, 5, "run r1 is not settled: its owner died", "tc run recover r1, then again")
    died.ok("run", "recover", "r1")
    died.ok(*ACKNOWLEDGE)
    assert unacknowledged(died) == []


def test_an_unsealed_run_is_recovered_first(tc: Tc, finished_run: Path) -> None:
    for path in finished_run.glob("manifest*"):
        path.unlink()
    refused(tc, 5, "run r1 has ended and is not sealed", "tc run recover r1, then again")


@pytest.mark.parametrize("file", ["run_spec.yaml", "orders.jsonl", "journal.jsonl"])
def test_a_changed_run_is_refused(tc: Tc, finished_run: Path, file: str) -> None:
    with open(finished_run / file, "ab") as stream:
        stream.write(b"#\n")
    hint = "tc run verify r1 lists every change; docs/runbooks/artifact-health.md"
    refused(tc, 6, f"run r1: {file}", hint)


def test_a_sealed_run_with_a_cut_journal_is_a_changed_run(tc: Tc, finished_run: Path) -> None:
    lines = (finished_run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (finished_run / "journal.jsonl").write_bytes(b"".join(lines[:3]))
    refused(tc, 6, "run r1: journal.jsonl ", "tc run verify r1 lists every change; docs/runbooks/artifact-health.md")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("r1", "--reason", " "), 2, "--reason is empty"),
        (("r1", "--reason", "x" * 501), 2, "--reason has 501 characters"),
        (("r1", "--reason", "x\x1b[2J"), 2, "--reason has a control character"),
        (("r1", "--reason", "x", "--actor", ""), 2, "--actor is empty"),
        (("r1", "--reason", "x", "--actor", "a" * 101), 2, "--actor has 101 characters"),
        (("r1",), 2, "missing option '--reason'"),
        (("r2", "--reason", "x"), 5, "run r2 not found"),
        (("../r1", "--reason", "x"), 2, "run id '../r1' is not allowed"),
    ],
)
def test_reason_actor_and_name_are_checked(
    tc: Tc, finished_run: Path, words: tuple[str, ...], code: int, error: str
) -> None:
    before = (finished_run / "journal.jsonl").read_bytes()
    answer = tc("run", "acknowledge", *words)
    assert (answer.code, f"tc: error: {error}" in answer.err) == (code, True), answer.err
    assert (finished_run / "journal.jsonl").read_bytes() == before


class Died(BaseException):
    pass


@pytest.mark.parametrize("step", ["append", "rewrite_derived", "seal_run"])
def test_recover_finishes_an_acknowledgement_whose_process_died(
    interrupted: Tc, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    owner: Any = Journal if step == "append" else later_event
    real = getattr(owner, step)

    def dies(*args: Any, **more: Any) -> None:
        real(*args, **more)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, dies)
        with pytest.raises(Died):
            acknowledge(context_of(resolve_for_process(str(interrupted.home))), RunId("r1"), "disk was full", "ann")
    if step != "seal_run":
        document = interrupted.json("run", "verify", "r1")
        message = "is longer by acknowledgements that were not sealed, left by a process that died"
        assert (document["verdict"], document["findings"][0]["message"]) == ("whole", message)
        refused(interrupted, 5, f"run r1: journal.jsonl {message}", "tc run recover r1, then again")
        (done,) = interrupted.json("run", "recover", "r1")["runs"]
        assert (done["action"], done["message"]) == ("sealed", "1 later acknowledgement had not been sealed")
    verify(interrupted)
    assert interrupted.json("run", "show", "r1")["acknowledged"]["reason"] == "disk was full"
    assert unacknowledged(interrupted) == []


def test_the_actor_is_by_default_the_login_name_as_of_the_kill_switch(interrupted: Tc) -> None:
    interrupted.ok("run", "acknowledge", "r1", "--reason", "x")
    switch = interrupted.json("kill", "activate", "--run-id", "other", "--reason", "x")
    assert interrupted.json("run", "show", "r1")["acknowledged"]["actor"] == switch["actor"]

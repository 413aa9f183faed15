"""Results of checks, recorded in a run before it starts, while it runs, and after it was sealed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opslab.context import Context
from opslab.errors import Corrupt, Environment, NotFound
from opslab.lab.context import context_of
from opslab.model.checks.check_kind import CHECKS, PROBE, RECONCILIATION, CheckKind
from opslab.model.journal.check_events import ConnectivityProbeEvaluated, ReconciliationChecked
from opslab.model.primitives.ids import RunId
from opslab.runs.checks import check_results as checks
from opslab.runs.checks import later_event
from opslab.settings import resolve_for_process
from opslab.store.runs.journal import Journal
from tests.drivers.processes import wait_for_engine
from tests.drivers.tc import Tc

PROBED = ConnectivityProbeEvaluated(state="probe_ok")
RECONCILED = ReconciliationChecked(state="ok")
ROOT = Path(__file__).parents[2]


def context_for(tc: Tc) -> Context:
    return context_of(resolve_for_process(str(tc.home)))


def record(tc: Tc, kind: CheckKind = PROBE, **document: Any) -> str:
    return checks.record_check(
        context_for(tc),
        RunId("r1"),
        checks.CheckResult(kind, PROBED if kind is PROBE else RECONCILED, {"version": 1, **document}),
    ).artifact


def verify(tc: Tc, code: int = 0) -> Any:
    answer = tc("run", "verify", "r1", "--json")
    assert answer.code == code, answer.out
    return answer.document


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def once(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Tc:
    tc = Tc(tmp_path_factory.mktemp("once"))
    shutil.copytree(sample_home / "data", tc.home / "data")
    tc.json("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    return tc


@pytest.fixture
def finished(once: Tc, tmp_path: Path) -> Tc:
    """A home of its own with a finished run."""
    home = tmp_path / "home"
    shutil.copytree(once.home, home)
    return Tc(home)


def test_a_check_of_a_sealed_run_is_recorded_and_sealed_and_nothing_else_changes(finished: Tc) -> None:
    folder = finished.run_folder("r1")
    before = json.loads((folder / "manifest.json").read_text())
    journal = (folder / "journal.jsonl").read_bytes()
    metadata_before = json.loads((folder / "metadata.json").read_text())
    assert [record(finished, note=number) for number in (1, 2)] == [
        "connectivity_probe-1.json",
        "connectivity_probe-2.json",
    ]
    assert record(finished, RECONCILIATION) == "reconciliation_result-1.json"
    assert verify(finished)["seal_number"] == 4
    after = json.loads((folder / "manifest.json").read_text())
    old, new = ({file["path"]: file["digest"] for file in manifest["files"]} for manifest in (before, after))
    assert {path for path, digest in old.items() if new[path] != digest} == {"journal.jsonl"}
    assert (folder / "journal.jsonl").read_bytes().startswith(journal)
    assert json.loads((folder / "connectivity_probe.json").read_text())["note"] == 2
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["connectivity_probe"]["artifact"] == "connectivity_probe-2.json"
    assert metadata["connectivity_probe"]["digest"] == new["connectivity_probe-2.json"]
    sections = {kind.section for kind in CHECKS}
    assert {name: value for name, value in metadata.items() if name not in sections} == {
        name: value for name, value in metadata_before.items() if name not in sections
    }
    assert "connectivity_probe-2.json" in (folder / "report.md").read_text()
    assert "connectivity_probe-2.json" in (folder / "report.html").read_text()


def test_a_check_before_the_start_is_part_of_the_run(once: Tc, tc: Tc) -> None:
    spec = tc.spec()
    tc.ok("run", "init", "--spec", spec, "--run-id", "r1")
    record(tc)
    assert json.loads((tc.run_folder("r1") / "metadata.json").read_text())["connectivity_probe"]["state"] == "probe_ok"
    verify(tc, 3)
    tc.ok("run", "backtest", "--spec", spec, "--run-id", "r1")
    verify(tc)
    metadata = tc.json("run", "show", "r1")
    assert metadata["status"] == "completed"
    assert metadata["connectivity_probe"]["artifact"] == "connectivity_probe-1.json"
    assert metadata["result_digest"] == once.json("run", "show", "r1")["result_digest"]


def test_a_check_of_a_running_run_is_part_of_it(long_home: Path, tmp_path: Path) -> None:
    tc = Tc(tmp_path)
    (tmp_path / "data").symlink_to(long_home / "data")
    process = tc.start("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", "r1")
    try:
        engine = wait_for_engine(process)
        assert engine is not None
        os.kill(engine, signal.SIGSTOP)
        record(tc)
        record(tc, RECONCILIATION)
        os.kill(engine, signal.SIGCONT)
        process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0
    verify(tc)
    metadata = json.loads((tc.run_folder("r1") / "metadata.json").read_text())
    assert (metadata["connectivity_probe"]["state"], metadata["reconciliation"]["state"]) == ("probe_ok", "ok")
    names = [event["event"] for event in events(tc.run_folder("r1"))]
    assert names.index("connectivity_probe_evaluated") < names.index("run_completed")


def test_a_run_that_ends_before_a_check_is_recorded_is_sealed_again(
    finished: Tc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last event may be another check's, and not its end."""
    record(finished)
    seen_running = iter([True])
    monkeypatch.setattr(checks, "_is_running", lambda *_: next(seen_running, False))
    assert record(finished) == "connectivity_probe-2.json"
    verification = verify(finished)
    assert (verification["seal_number"], verification["findings"]) == (3, [])


def test_a_changed_file_is_not_sealed_over(finished: Tc) -> None:
    folder = finished.run_folder("r1")
    (folder / "run_spec.yaml").write_text((folder / "run_spec.yaml").read_text() + "#\n")
    journal = (folder / "journal.jsonl").read_bytes()
    (folder / ".report.md.1234.tmp").write_text("")  # a leftover to recover does not change the refusal
    with pytest.raises(Corrupt, match=r"run_spec\.yaml"):
        record(finished)
    assert (folder / "journal.jsonl").read_bytes() == journal
    assert not list(folder.glob("connectivity_probe*"))


def test_a_missing_or_unsettled_run_is_refused(finished: Tc) -> None:
    with pytest.raises(NotFound):
        checks.record_check(context_for(finished), RunId("r2"), checks.CheckResult(PROBE, PROBED, {}))
    folder = finished.run_folder("r1")
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    started = next(number for number, line in enumerate(lines) if b'"run_started"' in line)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[: started + 1]))
    (folder / "manifest.json").unlink()
    (folder / "metadata.json").unlink()
    with pytest.raises(Environment):
        record(finished)


class Died(BaseException):
    pass


STEPS = ("_write_artifact", "append", "rewrite_derived", "seal_run")


@pytest.mark.parametrize("step", STEPS)
def test_recover_finishes_a_check_whose_process_died(finished: Tc, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Dies after a step. The run stays whole, the check exists or not, and the next one works."""
    folder = finished.run_folder("r1")
    record(finished, note=0)

    def dies(*args: Any, **more: Any) -> Any:
        real(*args, **more)
        raise Died

    owner: Any = {"_write_artifact": checks, "append": Journal}.get(step, later_event)
    real = getattr(owner, step)
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, dies)
        with pytest.raises(Died):
            record(finished, note=1)
    findings = verify(finished)["findings"]
    assert {finding["kind"] for finding in findings} <= {"leftover"}
    if step != "seal_run":
        messages = {finding["file"]: finding["message"] for finding in findings}
        longer = "is longer by checks that were not sealed, left by a process that died"
        assert messages.get("journal.jsonl") == (longer if step != "_write_artifact" else None)
        assert "tc: hint: tc run recover r1 settles what was interrupted" in finished("run", "verify", "r1").err
        with pytest.raises(Environment) as refused:
            record(finished)
        assert (refused.value.exit_code, refused.value.hint) == (5, "tc run recover r1, then again")
        finished.ok("run", "recover", "r1")
    assert verify(finished)["findings"] == []
    is_recorded = step != "_write_artifact"
    metadata = finished.json("run", "show", "r1")
    assert metadata["connectivity_probe"]["artifact"] == f"connectivity_probe-{2 if is_recorded else 1}.json"
    assert json.loads((folder / "connectivity_probe.json").read_text())["note"] == int(is_recorded)
    assert record(finished) == f"connectivity_probe-{3 if is_recorded else 2}.json"
    assert verify(finished)["findings"] == []


def test_recover_removes_a_check_with_a_torn_line(finished: Tc) -> None:
    """A power cut during its append, as an operator meets it."""
    folder = finished.run_folder("r1")
    record(finished)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    record(finished)
    line = (folder / "journal.jsonl").read_bytes().removeprefix(before[folder / "journal.jsonl"])
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != "connectivity_probe-2.json"]:
        path.unlink()
    for path, data in before.items():
        path.write_bytes(data)
    with open(folder / "journal.jsonl", "ab") as stream:
        stream.write(line[: len(line) // 2])

    messages = {finding["file"]: finding["message"] for finding in verify(finished)["findings"]}
    assert messages.keys() == {"connectivity_probe-2.json", "journal.jsonl"}
    assert messages["journal.jsonl"] == "is longer by the torn end of a check, left by a process that died"
    refused = finished("connectivity", "readiness", "--spec", finished.spec(), "--run-id", "r1")
    assert (refused.code, "tc: hint: tc run recover r1, then again" in refused.err) == (5, True), refused.err
    assert finished.json("run", "recover", "--all")["runs"][0]["action"] == "rendered"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert verify(finished)["findings"] == []
    finished.ok("connectivity", "readiness", "--spec", finished.spec(), "--run-id", "r1")
    assert verify(finished)["seal_number"] == 3


def test_copies_that_differ_or_have_no_check_are_findings(finished: Tc) -> None:
    folder = finished.run_folder("r1")
    (folder / "reconciliation_result.json").write_text("{}\n")
    assert verify(finished, 6)["findings"][0]["kind"] == "added"
    (folder / "reconciliation_result.json").unlink()
    record(finished)
    (folder / "connectivity_probe.json").write_text("{}\n")
    [finding] = verify(finished, 6)["findings"]
    assert (finding["kind"], finding["file"]) == ("changed", "connectivity_probe.json")
    finished.ok("run", "report", "r1")
    verify(finished)


@pytest.mark.parametrize("name", ["connectivity_probe-0.json", "connectivity_probe-1.txt", "other_check-1.json"])
def test_a_file_that_is_not_the_result_of_a_check_is_an_addition(finished: Tc, name: str) -> None:
    (finished.run_folder("r1") / name).write_text("{}\n")
    assert verify(finished, 6)["findings"][0]["kind"] == "added"


def test_other_events_after_the_seal_are_a_change(finished: Tc) -> None:
    folder = finished.run_folder("r1")
    record(finished)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    with open(folder / "journal.jsonl", "ab") as stream:
        stream.write(lines[1])
    finding = verify(finished, 6)["findings"][0]
    assert (finding["kind"], finding["file"]) == ("changed", "journal.jsonl")


def test_many_concurrent_checks_are_all_recorded(finished: Tc) -> None:
    children = [
        subprocess.Popen([sys.executable, "-m", __name__, str(finished.home)], cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    errors = [child.communicate(timeout=300)[1] for child in children]
    codes = [child.returncode for child in children]
    assert b"Traceback" not in b"".join(errors), errors
    assert set(codes) <= {0, 2}
    folder = finished.run_folder("r1")
    artifacts = [event["payload"]["artifact"] for event in events(folder) if event["event"] == PROBE.event]
    assert artifacts == [f"connectivity_probe-{number}.json" for number in range(1, len(artifacts) + 1)]
    assert len(artifacts) >= 3 * codes.count(0)
    assert verify(finished)["findings"] == []


def record_three(home: str) -> int:
    """Record three checks in a process of its own; 2 if other processes owned the run for too long."""
    try:
        for _ in range(3):
            record(Tc(Path(home)))
    except Environment:
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(record_three(sys.argv[1]))

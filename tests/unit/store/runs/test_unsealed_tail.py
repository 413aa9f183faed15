"""A check or acknowledgement that died after a seal: its run stays whole at every byte, and `recover` settles it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opslab.context import Context
from opslab.errors import Corrupt, Environment
from opslab.lab.context import context_of
from opslab.model.checks.check_kind import PROBE, RECONCILIATION
from opslab.model.journal.check_events import ConnectivityProbeEvaluated
from opslab.model.journal.run_events import RunAcknowledged
from opslab.model.primitives.ids import RunId
from opslab.model.run.event import RUN_FORMAT
from opslab.model.run.manifest import Verification
from opslab.runs import recovery
from opslab.runs.checks import acknowledgement
from opslab.runs.checks.acknowledgement import RecordedAcknowledgement
from opslab.runs.checks.check_results import CheckResult, record_check
from opslab.runs.record import verify as verification
from opslab.runs.record.run_journal import seal_run
from opslab.runs.record.state import read_state
from opslab.settings import Settings
from opslab.store.runs.journal import Journal
from opslab.store.runs.run_folders import write_metadata
from opslab.store.runs.seal import seal
from opslab.system import SystemClock
from tests.fakes.run_payloads import OWNER

RUN = RunId("r1")
INTENT = {
    "format": RUN_FORMAT,
    "run_id": "r1",
    "mode": "backtest",
    "strategy": {"name": "ops_smoke_demo", "version": "v1"},
    "venue": "binance",
    "instrument": "BTCUSDT",
    "risk_profile": "tiny",
    "lab_version": "0.1.0",
}
SPEC = """
spec_version: v1
mode: backtest
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy: {name: ops_smoke_demo, version: v1}
data: {dataset: tiny}
observability: {report: false}
"""
SUMMARY = {"state": "probe_ok", "reason": "größer\n", "total_ms": 1.25, "of": {"status": [200, None]}}
PROBED = ConnectivityProbeEvaluated(state="probe_ok", host="größer\n", path='{["', total_ms=1.25)
EITHER = "is longer by the torn end of a check or an acknowledgement, left by a process that died"
"""The torn bytes end before the name of the event differs."""
TORN = "is longer by the torn end of a check, left by a process that died"
LONGER = "is longer by checks that were not sealed, left by a process that died"
BOTH = "is longer by checks that were not sealed, and by the torn end of a check, left by a process that died"
BOTH_EITHER = BOTH.replace("of a check", "of a check or an acknowledgement")
TORN_ACKNOWLEDGEMENT = "is longer by the torn end of an acknowledgement, left by a process that died"
ACKNOWLEDGED = "is longer by acknowledgements that were not sealed, left by a process that died"


def context_for(home: Path) -> Context:
    return context_of(Settings(home, "--home"))


def run_of(home: Path) -> Path:
    return context_for(home).layout.run(RUN)


def keep(home: Path) -> str:
    return record_check(context_for(home), RunId(RUN), CheckResult(PROBE, PROBED, {"version": 1})).artifact


def verify(home: Path) -> Verification:
    return verification.verify(context_for(home), RUN, lambda _size: None)


def recover(home: Path) -> str:
    return recovery.recover(context_for(home), RUN, None).action


def findings(home: Path) -> list[tuple[str, str]]:
    return [(finding.kind, finding.file) for finding in verify(home).findings]


def files(home: Path) -> dict[str, bytes]:
    folder = run_of(home)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A home with a run that has ended, as small as can be."""
    home = tmp_path / "sealed"
    folder = run_of(home)
    folder.mkdir(parents=True)
    (folder / "run_spec.yaml").write_text(SPEC)
    with Journal(folder, SystemClock()) as journal:
        for name, payload in (("run_initialized", INTENT), ("run_started", {"owner": OWNER}), ("run_completed", {})):
            journal.append(name, payload)
    write_metadata(folder, read_state(folder))
    seal(folder, "completed", "run", "2026-01-01T00:00:00.000000Z", "0")
    assert verify(home).findings == ()
    return home


def copied(home: Path, name: str) -> Path:
    target = home.parent / name
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(home, target)


def line_of_a_check(home: Path) -> tuple[str, bytes]:
    """Its result's file and its event, as the next check of this run writes them; the run stays as it is."""
    done = copied(home, "done")
    before = (run_of(home) / "journal.jsonl").read_bytes()
    artifact = keep(done)
    return artifact, (run_of(done) / "journal.jsonl").read_bytes().removeprefix(before)


def leave(home: Path, artifact: str, behind: bytes) -> None:
    """What a check leaves that dies in the middle of its append: its result is on disk by then."""
    (run_of(home) / artifact).write_bytes((run_of(home.parent / "done") / artifact).read_bytes())
    with open(run_of(home) / "journal.jsonl", "ab") as stream:
        stream.write(behind)


@pytest.mark.parametrize("earlier", [0, 1])
def test_death_at_every_byte_of_a_checks_event_leaves_a_run_that_is_whole_and_recover_settles(
    sealed: Path, earlier: int
) -> None:
    for _ in range(earlier):
        keep(sealed)
    before, seal_before = files(sealed), verify(sealed).seal
    artifact, line = line_of_a_check(sealed)
    assert artifact == f"connectivity_probe-{earlier + 1}.json"
    home = copied(sealed, "died")
    for at in sorted({*range(earlier, len(line), 2), len(line)}):  # the two cases together: every byte
        leave(home, artifact, line[:at])
        verification = verify(home)
        assert verification.verdict == "whole", (at, verification)
        says = {one.file: one.message for one in verification.findings}
        assert {one.kind for one in verification.findings} == {"leftover"}
        torn = EITHER if at <= line.index(PROBE.event.encode()) else TORN
        expected = torn if 0 < at < len(line) else LONGER if at else None
        assert (says.get("journal.jsonl"), artifact in says) == (expected, True), at
        with pytest.raises(Environment) as refused:
            keep(home)
        assert (refused.value.exit_code, refused.value.hint) == (5, "tc run recover r1, then again")
        assert recover(home) == ("sealed" if at == len(line) else "rendered")
        assert verify(home).findings == ()
        assert recover(home) == "unchanged"
        if at < len(line):  # it is the run that was sealed, to the byte
            assert files(home) == before
            assert verify(home).seal == seal_before
    assert verify(home).seal_number == earlier + 2
    assert keep(home) == f"connectivity_probe-{earlier + 2}.json"
    assert verify(home).findings == ()


def test_after_unsealed_checks_a_torn_end_is_cut_and_they_are_sealed(sealed: Path) -> None:
    artifact, line = line_of_a_check(sealed)
    leave(sealed, artifact, line)
    one = copied(sealed, "one")
    with Journal(run_of(one), SystemClock()) as journal:
        journal.append(RECONCILIATION.event, SUMMARY)
    second = (run_of(one) / "journal.jsonl").read_bytes().removeprefix((run_of(sealed) / "journal.jsonl").read_bytes())
    whole = (run_of(sealed) / "journal.jsonl").read_bytes()
    for at in (1, *range(2, len(second) - 1, 16), len(second) - 1):
        home = copied(sealed, "died")
        leave(home, artifact, second[:at])
        verification = verify(home)
        assert verification.verdict == "whole", (at, verification)
        both = BOTH if at > second.index(RECONCILIATION.event.encode()) + 1 else BOTH_EITHER
        assert both in [one.message for one in verification.findings]
        with pytest.raises(Environment):
            keep(home)
        assert recover(home) == "sealed"
        assert (run_of(home) / "journal.jsonl").read_bytes() == whole
        assert verify(home).findings == ()
    assert read_state(run_of(home)).connectivity_probe is not None


def acknowledge(home: Path, reason: str = "größer") -> RecordedAcknowledgement:
    return acknowledgement.acknowledge(context_for(home), RUN, reason, "op")


def test_death_during_the_append_of_an_acknowledgement_leaves_a_run_that_is_whole_and_recover_settles(
    sealed: Path,
) -> None:
    keep(sealed)
    before = files(sealed)
    done = copied(sealed, "done")
    acknowledge(done)
    line = (run_of(done) / "journal.jsonl").read_bytes().removeprefix(before["journal.jsonl"])
    other = line.index(b"run_acknowledged") + 2  # from here on it cannot be `reconciliation_checked`
    for at in sorted({*range(1, len(line), 9), *range(other - 3, other + 2), len(line) - 1, len(line)}):
        home = copied(sealed, "died")
        with open(run_of(home) / "journal.jsonl", "ab") as stream:
            stream.write(line[:at])
        verification = verify(home)
        assert verification.verdict == "whole", (at, verification)
        expected = EITHER if at < other else TORN_ACKNOWLEDGEMENT if at < len(line) else ACKNOWLEDGED
        assert [(one.kind, one.message) for one in verification.findings] == [("leftover", expected)], at
        for record in (keep, acknowledge):
            with pytest.raises(Environment) as refused:
                record(home)
            assert (refused.value.exit_code, refused.value.hint) == (5, "tc run recover r1, then again")
        assert recover(home) == ("sealed" if at == len(line) else "rendered")
        assert verify(home).findings == ()
        if at < len(line):
            assert files(home) == before
    metadata = read_state(run_of(home))
    assert metadata.acknowledged is not None
    assert metadata.acknowledged == read_state(run_of(done)).acknowledged
    assert acknowledge(home, "again").previous == metadata.acknowledged
    assert verify(home).findings == ()


@pytest.mark.parametrize(
    "payload", [{}, {"reason": "x"}, {"reason": 7, "actor": "op"}, {"reason": None, "actor": "op"}]
)
def test_an_acknowledgement_without_reason_or_actor_is_a_change(sealed: Path, payload: dict[str, Any]) -> None:
    with Journal(run_of(sealed), SystemClock()) as journal:
        journal.append(RunAcknowledged.EVENT, payload)
    assert findings(sealed)[0] == ("changed", "journal.jsonl")
    with pytest.raises(Corrupt):
        recover(sealed)


def test_checks_and_acknowledgements_after_a_seal_are_sealed_together(sealed: Path) -> None:
    artifact, line = line_of_a_check(sealed)
    leave(sealed, artifact, line)
    with Journal(run_of(sealed), SystemClock()) as journal:
        journal.append(RunAcknowledged.EVENT, {"reason": "x", "actor": "op"})
    message = "is longer by checks and acknowledgements that were not sealed, left by a process that died"
    assert message in [one.message for one in verify(sealed).findings]
    recovered = recovery.recover(context_for(sealed), RUN, None)
    assert (recovered.action, recovered.message) == (
        "sealed",
        "2 later checks and acknowledgements had not been sealed",
    )
    assert verify(sealed).findings == ()
    metadata = read_state(run_of(sealed))
    assert metadata.acknowledged is not None
    assert metadata.connectivity_probe is not None


GARBAGE = {
    "a byte": lambda line: b"x",
    "a newline": lambda line: b"\n",
    "zeros": lambda line: b"\x00" * 100,
    "a note": lambda line: b"checked by hand\n",
    "the first line's beginning": lambda line: b'{"seq":1,"time":"',
    "the beginning of another event": lambda line: line[: line.index(b"connectivity")] + b"order_event",
    "the end of a line": lambda line: line[10:],
    "two beginnings": lambda line: line[:50] + line[:50],
    "a line that does not follow": lambda line: line.replace(b'"prev":"sha256:', b'"prev":"sha256:0'),
    "a line with another number": lambda line: line.replace(b'"seq":4', b'"seq":5'),
    "a line twice": lambda line: line + line,
    "a line, then zeros": lambda line: line + b"\x00",
    "a line whose result is another": lambda line: line.replace(b'"digest":"sha256:', b'"digest":"sha256:0'),
    "a line whose result is not there": lambda line: line.replace(b"probe-1.json", b"probe-7.json"),
    "a line without a result": lambda line: line.replace(b'"artifact"', b'"artefact"'),
    "a line whose result was sealed": lambda line: line.replace(b"connectivity_probe-1.json", b"run_spec.yaml"),
}


@pytest.mark.parametrize("behind", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_tail_that_no_check_wrote_is_a_change_and_is_not_touched(
    sealed: Path, behind: Callable[[bytes], bytes]
) -> None:
    artifact, line = line_of_a_check(sealed)
    leave(sealed, artifact, behind(line))
    verification = verify(sealed)
    assert (verification.verdict, verification.findings[0].kind, verification.findings[0].file) == (
        "changed",
        "changed",
        "journal.jsonl",
    )
    before = files(sealed)
    with pytest.raises(Corrupt, match=r"journal\.jsonl"):
        keep(sealed)
    with pytest.raises(Corrupt, match=r"journal\.jsonl"):
        recover(sealed)
    assert files(sealed) == before


@pytest.mark.parametrize("whole_line", [False, True])
@pytest.mark.parametrize("file", ["run_spec.yaml", "manifest-1.lines", "extra.txt"])
def test_a_run_that_was_changed_is_neither_cut_nor_sealed_for_what_a_check_left(
    sealed: Path, whole_line: bool, file: str
) -> None:
    artifact, line = line_of_a_check(sealed)
    leave(sealed, artifact, line if whole_line else line[:100])
    with open(run_of(sealed) / file, "ab") as stream:
        stream.write(b"#\n")
    before = files(sealed)
    assert verify(sealed).verdict == "changed"
    with pytest.raises(Corrupt, match=file):
        recover(sealed)
    assert files(sealed) == before


def test_metadata_that_was_changed_is_found_beside_a_torn_end(sealed: Path) -> None:
    artifact, line = line_of_a_check(sealed)
    leave(sealed, artifact, line[:100])
    path = run_of(sealed) / "metadata.json"
    document: dict[str, Any] = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "status": "failed"}))
    assert ("changed", "metadata.json") in findings(sealed)


@pytest.mark.parametrize("name", ["journal.jsonl", "metadata.json"])
def test_a_pipe_in_the_place_of_a_file_blocks_no_reader(sealed: Path, name: str) -> None:
    path = run_of(sealed) / name
    path.unlink()
    os.mkfifo(path)
    assert name in [file for _, file in findings(sealed)]
    if name == "journal.jsonl":
        with pytest.raises(Corrupt, match="is missing or empty"):
            recover(sealed)


def test_a_sealed_journal_without_final_newline_has_no_unsealed_tail(sealed: Path) -> None:
    artifact, line = line_of_a_check(sealed)
    with open(run_of(sealed) / "journal.jsonl", "ab") as stream:
        stream.write(b"x")
    seal(run_of(sealed), "completed", "run", "2026-01-01T00:00:00.000000Z", "0")
    leave(sealed, artifact, line[:100])
    assert ("changed", "journal.jsonl") in findings(sealed)


def test_a_check_that_died_beside_a_running_run_leaves_no_copy_of_an_unrecorded_result(
    tmp_path: Path,
) -> None:
    """Between its files and its event, or in the middle of that."""
    folder = run_of(tmp_path)
    folder.mkdir(parents=True)
    with Journal(folder, SystemClock()) as journal:
        journal.append("run_initialized", INTENT)
        journal.append("run_started", {"owner": OWNER})
    for name in (PROBE.numbered(1), PROBE.plain):
        (folder / name).write_text("{}\n")
    with open(folder / "journal.jsonl", "ab") as stream:
        stream.write(b'{"seq":3,"time":"2026')
    with Journal(folder, SystemClock()) as journal:
        journal.append("run_completed", {})
    seal_run(folder, read_state(folder), SystemClock(), reports=False)
    assert verify(tmp_path).findings == ()
    assert not (folder / PROBE.plain).exists()

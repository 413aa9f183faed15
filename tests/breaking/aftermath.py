"""Claims about a run without a living process, whatever ended it."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.breaking.chain import ENDINGS, chain_faults, journal_bytes, lifecycle, whole_lines
from tests.breaking.trial import Trial
from tests.drivers.tc import Answer, Tc

WHOLE, UNKNOWN, CHANGED = 0, 3, 6
FINAL = ("completed", "failed", "interrupted")
STAGING = ".staging-"


@dataclass(frozen=True, slots=True)
class Expected:
    """Result of the same run undisturbed."""

    result_digest: str | None
    """None for a paper run, which depends on a clock."""


def phase_of(folder: Path) -> str:
    """Phase that a run reached, read from its files alone."""
    if not folder.is_dir():
        return "before the run existed"
    names = [event["event"] for event in lifecycle(journal_bytes(folder))]
    if not set(names) & set(ENDINGS):
        return "while running" if "run_started" in names else "initialized"
    return "sealed" if (folder / "manifest.json").exists() else "ended, not sealed"


def settle(trial: Trial, tc: Tc, run_id: str, before: bytes, expected: Expected) -> str:
    """Check a run whose process is dead, recover it, and check it again. Returns the phase that it had reached.

    before: content of its journal as read while it was alive.
    """
    folder = tc.run_folder(run_id)
    phase = phase_of(folder)
    after = journal_bytes(folder)
    trial.observe("phase", phase)
    status = claim_readable(trial, tc, run_id)["status"]
    claim_unsettled_verdict(trial, tc, run_id, phase)
    recovered = tc("run", "recover", run_id, "--json")
    if not trial.claim(recovered.code == 0, f"recover exits {recovered.code}: {recovered.err.strip()}"):
        return phase
    trial.observe("recover", action_of(recovered))
    claim_journal_kept(trial, folder, before, after)
    if phase == "initialized":
        trial.claim(status == "initialized", f"a run that never started is shown as {status}")
        return phase
    claim_whole(trial, tc, run_id, expected)
    claim_recover_is_idempotent(trial, tc, run_id)
    return phase


def claim_readable(trial: Trial, tc: Tc, run_id: str) -> dict[str, Any]:
    """`show` and `list` can read it, agree, and do not report it as running. Returns the document of `show`."""
    shown, listed = tc("run", "show", run_id, "--json"), tc("run", "list", "--json")
    if not trial.claim(shown.code == 0, f"show exits {shown.code}: {shown.err.strip()}"):
        return {"status": None}
    document: dict[str, Any] = shown.document
    status = document["status"]
    trial.claim(status != "running", "show reports running, without a living process")
    rows = [row for row in listed.document["runs"] if row["run_id"] == run_id] if listed.code == 0 else []
    if trial.claim(len(rows) == 1, f"list exits {listed.code} with {len(rows)} rows of the run"):
        trial.claim(not rows[0].get("error"), f"list reports: {rows[0].get('error')}")
        trial.claim(rows[0].get("status") == status, f"list reports {rows[0].get('status')}, show {status}")
    return document


def claim_unsettled_verdict(trial: Trial, tc: Tc, run_id: str, phase: str) -> None:
    """`verify` before a recover has the verdict of the phase."""
    answer = tc("run", "verify", run_id, "--json")
    expected_code = {"sealed": WHOLE, "ended, not sealed": CHANGED}.get(phase, UNKNOWN)
    trial.observe("verify at once", answer.code)
    trial.claim(answer.code == expected_code, f"verify exits {answer.code} for a run {phase}: {answer_text(answer)}")
    if expected_code == CHANGED:
        trial.claim(
            "manifest.json" in answer_text(answer),
            f"verify does not report that manifest.json is missing: {answer_text(answer)}",
        )


def claim_whole(trial: Trial, tc: Tc, run_id: str, expected: Expected) -> dict[str, Any]:
    """It has ended, is sealed and verified, and has no temporary files. Returns the document of `show`."""
    folder = tc.run_folder(run_id)
    metadata = claim_readable(trial, tc, run_id)
    status = metadata["status"]
    trial.observe("status", status)
    trial.claim(status in FINAL, f"show reports {status} for a settled run")
    answer = tc("run", "verify", run_id, "--json")
    trial.claim(answer.code == WHOLE, f"verify exits {answer.code} for a settled run: {answer_text(answer)}")
    for fault in chain_faults(journal_bytes(folder)):
        trial.claim(False, fault)
    endings = [event["event"] for event in lifecycle(journal_bytes(folder)) if event["event"] in ENDINGS]
    trial.claim(len(endings) == 1, f"the journal has {len(endings)} ends: {endings}")
    hidden = [path for path in folder_entries(folder) if any(part.startswith(".") for part in Path(path).parts)]
    trial.claim(not hidden, f"temporary files are left: {hidden}")
    if status == "completed":
        result = metadata["result_digest"]
        trial.claim(
            result == expected.result_digest, f"completed with result {result}, expected {expected.result_digest}"
        )
    return metadata


def claim_can_run(trial: Trial, tc: Tc, run_id: str, spec: str, expected: Expected) -> None:
    """An unused run id, or a run that never started: with the same spec it runs to its end."""
    answer = tc("run", "backtest", "--spec", spec, "--run-id", run_id)
    if trial.claim(answer.code == 0, f"running it then exits {answer.code}: {answer.err.strip()}"):
        claim_whole(trial, tc, run_id, expected)


def claim_recover_is_idempotent(trial: Trial, tc: Tc, run_id: str) -> None:
    """A second recover reports `unchanged` and changes no byte."""
    folder = tc.run_folder(run_id)
    before = folder_entries(folder)
    repeated = tc("run", "recover", run_id, "--json")
    trial.claim(repeated.code == 0, f"a second recover exits {repeated.code}: {repeated.err.strip()}")
    if repeated.code == 0:
        trial.claim(action_of(repeated) == "unchanged", f"a second recover had an effect: {action_of(repeated)}")
    after = folder_entries(folder)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    trial.claim(not changed, f"a second recover changed {changed}")


def claim_journal_kept(trial: Trial, folder: Path, before: bytes, after: bytes) -> None:
    """Every whole line that was read before still exists, byte for byte, at its position.

    before: read while the run was alive; after: read when it was dead. Both before it was recovered.
    """
    result = journal_bytes(folder)
    for name, data in (("before", before), ("after", after)):
        lines = b"".join(whole_lines(data))
        trial.claim(result.startswith(lines), f"journal lines that existed {name} the end are missing")


def claim_no_leftovers(trial: Trial, tc: Tc) -> None:
    """No staged run folder, and no work folder of an engine is left."""
    runs, work_folder = tc.home / "artifacts" / "runs", tc.home / "runtime" / "work"
    staged = [path.name for path in runs.glob(f"{STAGING}*")] if runs.is_dir() else []
    trial.claim(not staged, f"staging folders are left: {staged}")
    scratch = [path.name for path in work_folder.iterdir()] if work_folder.is_dir() else []
    trial.claim(not scratch, f"work folders are left: {scratch}")


def action_of(answer: Answer) -> str:
    """Action of `recover` for its single run."""
    [run] = answer.document["runs"]
    return str(run["action"])


def answer_text(answer: Answer) -> str:
    """Output of a command on one line, for the message of a violation."""
    return " ".join(f"{answer.out} {answer.err}".split())[:600]


def folder_entries(folder: Path) -> dict[str, Any]:
    """All entries below a folder by relative path: kind, and digest or link target."""
    result: dict[str, Any] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                with open(path, "rb") as stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()
            else:
                content = str(path.readlink()) if path.is_symlink() else ""
            result[str(path.relative_to(folder))] = (stat.S_IFMT(mode), content)
    return result

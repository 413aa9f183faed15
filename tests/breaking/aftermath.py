"""What must hold of a run when nobody works on it any more, however that came about."""

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
    """What the same run comes to when nobody disturbs it."""

    result_digest: str | None
    """None of a paper run, which meets a clock."""


def phase_of(folder: Path) -> str:
    """How far a run had come, read from its files alone."""
    if not folder.is_dir():
        return "before the run existed"
    names = [event["event"] for event in lifecycle(journal_bytes(folder))]
    if not set(names) & set(ENDINGS):
        return "while running" if "run_started" in names else "initialized"
    return "sealed" if (folder / "manifest.json").exists() else "ended, not sealed"


def settle(trial: Trial, tc: Tc, run_id: str, before: bytes, expected: Expected) -> str:
    """Look at a run whose process is gone, recover it, and look again. How far it had come.

    before: what its journal was known to hold while it was alive.
    """
    folder = tc.run_folder(run_id)
    phase = phase_of(folder)
    after = journal_bytes(folder)
    trial.observe("found", phase)
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
    """`show` and `list` can read it, agree, and do not call it running. What `show` says."""
    metadata, listed = tc("run", "show", run_id, "--json"), tc("run", "list", "--json")
    if not trial.claim(metadata.code == 0, f"show exits {metadata.code}: {metadata.err.strip()}"):
        return {"status": None}
    document: dict[str, Any] = metadata.document
    status = document["status"]
    trial.claim(status != "running", "show says running, and nobody is")
    rows = [row for row in listed.document["runs"] if row["run_id"] == run_id] if listed.code == 0 else []
    if trial.claim(len(rows) == 1, f"list exits {listed.code} with {len(rows)} rows of the run"):
        trial.claim(not rows[0].get("error"), f"list says: {rows[0].get('error')}")
        trial.claim(rows[0].get("status") == status, f"list says {rows[0].get('status')}, show {status}")
    return document


def claim_unsettled_verdict(trial: Trial, tc: Tc, run_id: str, phase: str) -> None:
    """`verify` before anybody recovered it."""
    answer = tc("run", "verify", run_id, "--json")
    expected_code = {"sealed": WHOLE, "ended, not sealed": CHANGED}.get(phase, UNKNOWN)
    trial.observe("verify at once", answer.code)
    trial.claim(answer.code == expected_code, f"verify exits {answer.code} of a run {phase}: {answer_text(answer)}")
    if expected_code == CHANGED:
        trial.claim(
            "manifest.json" in answer_text(answer), f"verify does not say that manifest.json is missing: {answer_text(answer)}"
        )


def claim_whole(trial: Trial, tc: Tc, run_id: str, expected: Expected) -> dict[str, Any]:
    """It is over, sealed, verified, and nothing temporary lies about. What `show` says of it."""
    folder = tc.run_folder(run_id)
    metadata = claim_readable(trial, tc, run_id)
    status = metadata["status"]
    trial.observe("status", status)
    trial.claim(status in FINAL, f"show says {status} of a settled run")
    answer = tc("run", "verify", run_id, "--json")
    trial.claim(answer.code == WHOLE, f"verify exits {answer.code} of a settled run: {answer_text(answer)}")
    for fault in chain_faults(journal_bytes(folder)):
        trial.claim(False, fault)
    endings = [event["event"] for event in lifecycle(journal_bytes(folder)) if event["event"] in ENDINGS]
    trial.claim(len(endings) == 1, f"the journal tells {len(endings)} ends: {endings}")
    hidden = [path for path in folder_entries(folder) if any(part.startswith(".") for part in Path(path).parts)]
    trial.claim(not hidden, f"temporary files are left: {hidden}")
    if status == "completed":
        found = metadata["result_digest"]
        trial.claim(found == expected.result_digest, f"completed with result {found}, and not {expected.result_digest}")
    return metadata


def claim_can_run(trial: Trial, tc: Tc, run_id: str, spec: str, expected: Expected) -> None:
    """A name that was not used up, or a run that never started: with the same spec it runs to its end."""
    answer = tc("run", "backtest", "--spec", spec, "--run-id", run_id)
    if trial.claim(answer.code == 0, f"to run it then exits {answer.code}: {answer.err.strip()}"):
        claim_whole(trial, tc, run_id, expected)


def claim_recover_is_idempotent(trial: Trial, tc: Tc, run_id: str) -> None:
    """To recover once more says so and changes no byte."""
    folder = tc.run_folder(run_id)
    before = folder_entries(folder)
    repeated = tc("run", "recover", run_id, "--json")
    trial.claim(repeated.code == 0, f"a second recover exits {repeated.code}: {repeated.err.strip()}")
    if repeated.code == 0:
        trial.claim(action_of(repeated) == "unchanged", f"a second recover did something: {action_of(repeated)}")
    after = folder_entries(folder)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    trial.claim(not changed, f"a second recover changed {changed}")


def claim_journal_kept(trial: Trial, folder: Path, before: bytes, after: bytes) -> None:
    """Every whole line that was seen is still there, byte for byte, and in its place.

    before: seen while the run was alive; after: found when it was dead. Both before it was recovered.
    """
    found = journal_bytes(folder)
    for name, data in (("before", before), ("after", after)):
        lines = b"".join(whole_lines(data))
        trial.claim(found.startswith(lines), f"journal lines that were there {name} the end are not any more")


def claim_no_leftovers(trial: Trial, tc: Tc) -> None:
    """No staged run folder, and no scratch of an engine."""
    runs, work_folder = tc.home / "artifacts" / "runs", tc.home / "runtime" / "work"
    staged = [path.name for path in runs.glob(f"{STAGING}*")] if runs.is_dir() else []
    trial.claim(not staged, f"staging folders are left: {staged}")
    scratch = [path.name for path in work_folder.iterdir()] if work_folder.is_dir() else []
    trial.claim(not scratch, f"work folders are left: {scratch}")


def action_of(answer: Answer) -> str:
    """What `recover` did with the one run it was asked for."""
    [run] = answer.document["runs"]
    return str(run["action"])


def answer_text(answer: Answer) -> str:
    """For a violation: what a command found, on one line."""
    return " ".join(f"{answer.out} {answer.err}".split())[:600]


def folder_entries(folder: Path) -> dict[str, Any]:
    """Everything below, by relative path: kind, and digest or target."""
    found: dict[str, Any] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                with open(path, "rb") as stream:
                    what = hashlib.file_digest(stream, "sha256").hexdigest()
            else:
                what = str(path.readlink()) if path.is_symlink() else ""
            found[str(path.relative_to(folder))] = (stat.S_IFMT(mode), what)
    return found

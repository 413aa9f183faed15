"""Changes to a finished run: `verify` finds each of them and its location."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from opslab.errors import LabError
from opslab.lab.context import context_of
from opslab.lab.run.verify import verify
from opslab.model.primitives.ids import RunId
from opslab.runs.record.verify import EXIT_CODES
from opslab.settings import Settings
from tests.breaking.aftermath import CHANGED, WHOLE, answer_text
from tests.breaking.changes import MANIFEST, Change, changes_of
from tests.breaking.context import RUN, SMOKE_TINY, ExperimentContext
from tests.breaking.forged import copy_into, finished
from tests.breaking.trial import Attempt, Trial
from tests.drivers.tc import Tc

FULL = 40
"""Trials of each random change."""
_BY_COMMAND = 40
"""Every `_BY_COMMAND`-th trial uses the command, all others the library: that is forty times as fast."""
_LIMIT_SECONDS = 150.0
OTHER = "r2"


@dataclass(frozen=True, slots=True)
class VerifyAnswer:
    code: int
    findings: list[dict[str, Any]]
    text: str

    def finding_of(self, file: str) -> dict[str, Any] | None:
        """The finding that names a file, or its folder."""
        parts = {file, *(parent.as_posix() for parent in Path(file).parents)}
        matching = [row for row in self.findings if row["file"] in parts or row["file"].startswith(f"{file}/")]
        return min(matching, key=lambda row: row["file"] != file) if matching else None


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    run, other_run = finished(context), finished(context, SMOKE_TINY, OTHER)
    number = 0
    for change in changes_of(run):
        for repetition in range(context.trial_count(FULL) if change.is_random else 1):
            by_command = number % _BY_COMMAND == 0
            label = f"tamper-{change.name.replace('/', '_').replace(' ', '-')}-{repetition}"
            yield Attempt(label, partial(_tamper, run=run, change=change, by_command=by_command), _LIMIT_SECONDS)
            number += 1
    yield Attempt("tamper-exchange-manifests", partial(_exchange, run=run, other_run=other_run))
    yield Attempt("tamper-another-name", partial(_rename, run=run))
    yield Attempt("tamper-nothing", partial(_nothing, run=run))


def _tamper(trial: Trial, run: Path, change: Change, by_command: bool) -> None:
    folder = copy_into(Tc(trial.folder), run)
    change.apply(folder, trial.rng)
    answer = _verify(trial, by_command)
    trial.observe("interface", "command" if by_command else "library")
    trial.observe("verify", answer.code)
    if not change.is_finding:
        trial.claim(answer.code == WHOLE, f"{change.name}: exit {answer.code}: {answer.text}")
        return
    expected_code = WHOLE if change.is_harmless else CHANGED
    trial.claim(answer.code == expected_code, f"{change.name}: exit {answer.code}: {answer.text}")
    finding = answer.finding_of(change.file)
    if (
        trial.claim(finding is not None, f"{change.name}: {change.file} is not named: {answer.text}")
        and change.is_located
    ):
        assert finding is not None
        _claim_located(trial, change, finding, (run / change.file).read_bytes(), (folder / change.file).read_bytes())


def _claim_located(trial: Trial, change: Change, finding: dict[str, Any], before: bytes, after: bytes) -> None:
    """The finding has the line of the first changed byte, and a byte in that line at or before the change."""
    at = next((n for n, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), None)
    at = min(len(before), len(after)) if at is None else at
    line, start = before.count(b"\n", 0, at) + 1, before.rfind(b"\n", 0, at) + 1
    reported = (finding["line"], finding["byte"])
    is_right = reported[0] == line and reported[1] is not None and start <= reported[1] <= at
    trial.observe("location", "right" if is_right else "wrong")
    trial.claim(
        is_right,
        f"{change.name}: first change at byte {at}, which is in line {line} from byte {start}; "
        f"reported line {reported[0]}, byte {reported[1]}: {finding['message']}",
    )


def _exchange(trial: Trial, run: Path, other_run: Path) -> None:
    tc = Tc(trial.folder)
    copy, other_copy = copy_into(tc, run), copy_into(tc, other_run, OTHER)
    manifest, other_manifest = (copy / MANIFEST).read_bytes(), (other_copy / MANIFEST).read_bytes()
    (copy / MANIFEST).write_bytes(other_manifest)
    (other_copy / MANIFEST).write_bytes(manifest)
    for run_id in (RUN, OTHER):
        _claim_changed(trial, tc, run_id, MANIFEST)


def _rename(trial: Trial, run: Path) -> None:
    tc = Tc(trial.folder)
    copy_into(tc, run, "another")
    _claim_changed(trial, tc, "another", MANIFEST)


def _nothing(trial: Trial, run: Path) -> None:
    """Control: an unchanged copy is whole, so that a verify which always reports a change is detected."""
    copy_into(Tc(trial.folder), run)
    for by_command in (False, True):
        answer = _verify(trial, by_command)
        trial.claim(answer.code == WHOLE, f"an unchanged copy: exit {answer.code}: {answer.text}")


def _claim_changed(trial: Trial, tc: Tc, run_id: str, file: str) -> None:
    answer = tc("run", "verify", run_id, "--json")
    trial.claim(answer.code == CHANGED, f"verify {run_id} exits {answer.code}: {answer.out}{answer.err}")
    trial.claim(file in answer.out, f"verify {run_id} does not name {file}: {answer.out}")


def _verify(trial: Trial, by_command: bool) -> VerifyAnswer:
    if by_command:
        output = Tc(trial.folder)("run", "verify", RUN, "--json")
        document = json.loads(output.out) if output.out.startswith("{") else {}
        return VerifyAnswer(output.code, document.get("findings", []), answer_text(output))
    try:
        verification = verify(context_of(Settings(trial.folder, "--home")), RunId(RUN), lambda _size: None)
    except LabError as error:
        return VerifyAnswer(error.exit_code, [], error.message)
    return VerifyAnswer(
        EXIT_CODES[verification.verdict], verification.model_dump(mode="json")["findings"], verification.message
    )

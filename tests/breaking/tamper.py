"""Changes to a finished run: `verify` finds each of them, and says where it is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from opslab.errors import LabError
from opslab.lab import Lab
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
"""Of each change that depends on chance."""
_BY_COMMAND = 40
"""Every so many trials the command is asked, else the library: that is forty times as fast."""
_LIMIT_SECONDS = 15.0
OTHER = "r2"


@dataclass(frozen=True, slots=True)
class VerifyAnswer:
    code: int
    findings: list[dict[str, Any]]
    text: str

    def of(self, file: str) -> dict[str, Any] | None:
        """The finding that names a file, or the folder it stands in."""
        parts = {file, *(parent.as_posix() for parent in Path(file).parents)}
        below = [row for row in self.findings if row["file"] in parts or row["file"].startswith(f"{file}/")]
        return min(below, key=lambda row: row["file"] != file) if below else None


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    run, other = finished(context), finished(context, SMOKE_TINY, OTHER)
    number = 0
    for change in changes_of(run):
        for slot in range(context.trial_count(FULL) if change.times else 1):
            by_command = number % _BY_COMMAND == 0
            label = f"tamper-{change.name.replace('/', '_').replace(' ', '-')}-{slot}"
            yield Attempt(label, partial(_tamper, run=run, change=change, by_command=by_command), _LIMIT_SECONDS)
            number += 1
    yield Attempt("tamper-exchange-manifests", partial(_exchange, run=run, other=other))
    yield Attempt("tamper-another-name", partial(_rename, run=run))
    yield Attempt("tamper-nothing", partial(_nothing, run=run))


def _tamper(trial: Trial, run: Path, change: Change, by_command: bool) -> None:
    folder = copy_into(Tc(trial.folder), run)
    change.make(folder, trial.rng)
    found = _look(trial, by_command)
    trial.observe("asked", "the command" if by_command else "the library")
    trial.observe("verify", found.code)
    if not change.found:
        trial.claim(found.code == WHOLE, f"{change.name}: exit {found.code}: {found.text}")
        return
    expected_code = WHOLE if change.harmless else CHANGED
    trial.claim(found.code == expected_code, f"{change.name}: exit {found.code}: {found.text}")
    finding = found.of(change.file)
    if trial.claim(finding is not None, f"{change.name}: {change.file} is not named: {found.text}") and change.located:
        assert finding is not None
        _claim_located(trial, change, finding, (run / change.file).read_bytes(), (folder / change.file).read_bytes())


def _claim_located(trial: Trial, change: Change, finding: dict[str, Any], before: bytes, after: bytes) -> None:
    """The line of the first byte that differs, and a byte in that line that is not behind it."""
    at = next((n for n, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), None)
    at = min(len(before), len(after)) if at is None else at
    line, start = before.count(b"\n", 0, at) + 1, before.rfind(b"\n", 0, at) + 1
    answer_text = (finding["line"], finding["byte"])
    right = answer_text[0] == line and answer_text[1] is not None and start <= answer_text[1] <= at
    trial.observe("place", "right" if right else "wrong")
    trial.claim(
        right,
        f"{change.name}: first change at byte {at}, which is in line {line} from byte {start}; "
        f"said line {answer_text[0]}, byte {answer_text[1]}: {finding['message']}",
    )


def _exchange(trial: Trial, run: Path, other: Path) -> None:
    tc = Tc(trial.folder)
    row, other_copy = copy_into(tc, run), copy_into(tc, other, OTHER)
    manifest, other_manifest = (row / MANIFEST).read_bytes(), (other_copy / MANIFEST).read_bytes()
    (row / MANIFEST).write_bytes(other_manifest)
    (other_copy / MANIFEST).write_bytes(manifest)
    for run_id in (RUN, OTHER):
        _claim_changed(trial, tc, run_id, MANIFEST)


def _rename(trial: Trial, run: Path) -> None:
    tc = Tc(trial.folder)
    copy_into(tc, run, "another")
    _claim_changed(trial, tc, "another", MANIFEST)


def _nothing(trial: Trial, run: Path) -> None:
    """The control: an untouched copy is whole, so that a verify which always complains would be noticed."""
    copy_into(Tc(trial.folder), run)
    for by_command in (False, True):
        found = _look(trial, by_command)
        trial.claim(found.code == WHOLE, f"an untouched copy: exit {found.code}: {found.text}")


def _claim_changed(trial: Trial, tc: Tc, run_id: str, file: str) -> None:
    answer = tc("run", "verify", run_id, "--json")
    trial.claim(answer.code == CHANGED, f"verify {run_id} exits {answer.code}: {answer.out}{answer.err}")
    trial.claim(file in answer.out, f"verify {run_id} does not name {file}: {answer.out}")


def _look(trial: Trial, by_command: bool) -> VerifyAnswer:
    if by_command:
        answer = Tc(trial.folder)("run", "verify", RUN, "--json")
        text = answer_text(answer)
        document = json.loads(answer.out) if answer.out.startswith("{") else {}
        return VerifyAnswer(answer.code, document.get("findings", []), text)
    try:
        found = Lab(Settings(trial.folder, "--home")).verify(RunId(RUN), lambda _size: None)
    except LabError as error:
        return VerifyAnswer(error.exit_code, [], error.message)
    return VerifyAnswer(EXIT_CODES[found.verdict], found.model_dump(mode="json")["findings"], found.message)

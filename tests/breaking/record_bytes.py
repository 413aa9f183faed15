"""Death at every byte and every step of a record's write: the record is the old or the new one, and whole.

Also of a check after a seal: the run is whole, and `recover` settles the check.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from opslab.context import Context
from opslab.errors import Environment
from opslab.lab.context import context_of
from opslab.lab.run.recover import recover
from opslab.lab.run.verify import verify
from opslab.model.checks.check_kind import PROBE
from opslab.model.journal.check_events import ConnectivityProbeEvaluated
from opslab.model.primitives.ids import RunId
from opslab.model.run.metadata import RunMetadata
from opslab.runs.checks.acknowledgement import acknowledge
from opslab.runs.checks.check_results import CheckResult, record_check
from opslab.settings import Settings
from opslab.store.files import write_whole
from opslab.store.runs.run_folders import RowsFile, clear_temporary_files, write_metadata, write_record
from opslab.store.runs.seal import compare_to_seal, read_manifest, seal
from tests.breaking.aftermath import folder_entries
from tests.breaking.chain import chain_faults, journal_bytes, whole_lines
from tests.breaking.context import ExperimentContext
from tests.breaking.deaths import KILLED, XFSZ, count_steps, dies_at_byte, dies_at_step, evenly_spread
from tests.breaking.forged import copy_into, finished, unseal
from tests.breaking.trial import Attempt, Trial
from tests.drivers.tc import Tc

_TEXT = "".join(f"line {number} of a record\n" for number in range(120)).encode()
_ROWS = [{"client_order_id": f"O-{number}", "last_qty": "0.005"} for number in range(400)]
_SUMMARY = ConnectivityProbeEvaluated(state="probe_ok", host="größer", status_code=200, total_ms=1.25)
_SEALED_AT = "2024-01-01T00:00:00.000000Z"


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """The run's folder before a write, and after an undisturbed one."""

    before: Path
    undisturbed: Path


@dataclass(frozen=True, slots=True)
class RecordWrite:
    """`perform` writes into a run's folder; `claim` checks the folder after a death during the write."""

    name: str
    prepare: Callable[[Path], None]
    perform: Callable[[Path], None]
    claim: Callable[[Trial, "BeforeAndAfter", Path], None]
    """Called with the folder as the death left it."""
    positions: Callable[["BeforeAndAfter"], Sequence[int]]
    """Limits on the file size to try."""


def _unchanged(_folder: Path) -> None:
    pass


def _metadata(folder: Path) -> None:
    text = (folder / "metadata.json").read_bytes()
    write_metadata(folder, RunMetadata.model_validate_json(text).with_changes(status="failed", ended_by="a test"))


def _metrics(folder: Path) -> None:
    write_record(folder, "metrics.json", {"scenario": {"bars_seen": 1}, "text": "x" * 500})


def _rows(folder: Path) -> None:
    file = RowsFile(folder, "more")
    for row in _ROWS:
        file.add(row)
    file.commit()


def _seal(folder: Path) -> None:
    seal(folder, "completed", "run", _SEALED_AT, "0.0.0")


def _claim_old_or_new(trial: Trial, folders: BeforeAndAfter, after: Path, name: str) -> None:
    old, new, content = (
        (folder / name).read_bytes() if (folder / name).exists() else None
        for folder in (folders.before, folders.undisturbed, after)
    )
    trial.observe("record", "old" if content == old else "new")
    trial.claim(content in (old, new), f"{name} is neither the old nor the new record: {len(content or b'')} bytes")


def _claim_rows(trial: Trial, folders: BeforeAndAfter, after: Path) -> None:
    """All rows under their name, or the first rows under the name of partial ones."""
    _claim_old_or_new(trial, folders, after, "more.jsonl")
    clear_temporary_files(after)
    partial_rows = after / "partial-more.jsonl"
    if partial_rows.exists():
        whole_rows, content = (folders.undisturbed / "more.jsonl").read_bytes(), partial_rows.read_bytes()
        trial.claim(
            whole_rows.startswith(content) and content.endswith(b"\n"), "partial rows are not the first whole ones"
        )
        trial.claim(not (after / "more.jsonl").exists(), "there are whole rows and partial ones")
    _claim_tidy(trial, after)


def _claim_sealed(trial: Trial, _before_and_after: BeforeAndAfter, after: Path) -> None:
    """The old seal, a new one, or none: an existing seal matches; and the run can be sealed again."""
    manifest = read_manifest(after)
    trial.observe("seal", "none" if manifest is None else f"number {manifest.number}")
    if manifest is not None:
        findings = [
            finding for finding in compare_to_seal(after, manifest, lambda _size: None) if finding.kind != "leftover"
        ]
        trial.claim(
            not findings,
            f"under seal {manifest.number}: {[f'{finding.file} {finding.message}' for finding in findings]}",
        )
    clear_temporary_files(after)
    _seal(after)
    manifest = read_manifest(after)
    findings = compare_to_seal(after, manifest, lambda _size: None) if manifest else []
    trial.claim(
        manifest is not None and not findings,
        f"sealed again: {[f'{finding.file} {finding.message}' for finding in findings]}",
    )
    _claim_tidy(trial, after)


def _claim_tidy(trial: Trial, folder: Path) -> None:
    hidden = [name for name in folder_entries(folder) if Path(name).name.startswith(".")]
    trial.claim(not hidden, f"temporary files are left: {hidden}")


def _check(folder: Path) -> None:
    record_check(_context(folder), RunId(folder.name), CheckResult(PROBE, _SUMMARY, {"version": 1, "host": "größer"}))


def _acknowledge(folder: Path) -> None:
    acknowledge(_context(folder), RunId(folder.name), 'größer"', "op")


def _context(folder: Path) -> Context:
    return context_of(Settings(folder.parents[2], "--home"))


def _claim_checked(trial: Trial, folders: BeforeAndAfter, after: Path) -> None:
    """The run is whole at once, and no check is accepted until `recover` has settled this one: kept or removed."""
    context, run_id = _context(after), RunId(after.name)
    sealed, content = journal_bytes(folders.before), journal_bytes(after)
    appended = content.removeprefix(sealed)
    verified = verify(context, run_id, lambda _size: None)
    texts = [f"{finding.kind}: {finding.file} {finding.message}" for finding in verified.findings]
    trial.claim(verified.verdict == "whole", f"verify at once: {verified.verdict}, {texts}")
    trial.claim(all(finding.kind == "leftover" for finding in verified.findings), f"verify at once: {texts}")
    is_kept = appended.endswith(b"\n")
    end = "none" if not appended else "torn" if not is_kept else "whole"
    trial.observe("check after the seal", end if verified.findings else "settled" if is_kept else "none")
    if end == "torn":
        trial.claim(any("journal.jsonl" in finding for finding in texts), f"verify does not name the torn end: {texts}")
    if verified.findings:
        try:
            _check(after)
        except Environment as refusal:
            hint = f"tc run recover {run_id}, then again"
            trial.claim((refusal.exit_code, refusal.hint) == (5, hint), f"the hint of a new check is {refusal.hint}")
        else:
            trial.claim(False, "a new check is accepted before the last one was settled")
    action = recover(context, run_id, None).action
    trial.observe("recover", action)
    trial.claim((action == "unchanged") == (not verified.findings), f"recover: {action}, of {texts}")
    _claim_settled_check(trial, folders, after, is_kept)


def _claim_settled_check(trial: Trial, folders: BeforeAndAfter, after: Path, is_kept: bool) -> None:
    context, run_id = _context(after), RunId(after.name)
    verified = verify(context, run_id, lambda _size: None)
    trial.claim(not verified.findings, f"verify afterwards: {verified.verdict}, {verified.message}")
    trial.claim(recover(context, run_id, None).action == "unchanged", "a second recover had an effect")
    for fault in chain_faults(journal_bytes(after)):
        trial.claim(False, fault)
    if is_kept:
        count = len(whole_lines(journal_bytes(after))) - len(whole_lines(journal_bytes(folders.before)))
        trial.claim(count == 1, f"the journal has {count} more lines")
    else:  # it is the sealed run, byte for byte
        entries_before, entries_after = folder_entries(folders.before), folder_entries(after)
        differ = sorted(
            name
            for name in entries_before.keys() | entries_after.keys()
            if entries_before.get(name) != entries_after.get(name)
        )
        trial.claim(not differ, f"the check is not in the journal, and changed {differ}")
    _check(after)
    verified = verify(context, run_id, lambda _size: None)
    trial.claim(verified.verdict == "whole" and not verified.findings, f"the next check: {verified.message}")
    _claim_tidy(trial, after)


def _positions_of_check(folders: BeforeAndAfter) -> list[int]:
    """Every byte of its result, and every byte of its event after the sealed journal."""
    result = max(path.stat().st_size for path in folders.undisturbed.glob("connectivity_probe-*.json"))
    before, undisturbed = (len(journal_bytes(folder)) for folder in (folders.before, folders.undisturbed))
    return sorted({*range(result), *range(before, undisturbed + 1)})


def _positions_of_event(folders: BeforeAndAfter) -> Sequence[int]:
    """Every byte of its event after the sealed journal."""
    before, undisturbed = (len(journal_bytes(folder)) for folder in (folders.before, folders.undisturbed))
    return range(before, undisturbed + 1)


def _up_to_size_of(*names: str) -> Callable[[BeforeAndAfter], Sequence[int]]:
    """Every size up to the largest of the written files."""
    return lambda folders: range(
        max(path.stat().st_size for name in names for path in folders.undisturbed.glob(name)) + 1
    )


WRITES = (
    RecordWrite(
        "metadata",
        _unchanged,
        _metadata,
        partial(_claim_old_or_new, name="metadata.json"),
        _up_to_size_of("metadata.json"),
    ),
    RecordWrite(
        "metrics", _unchanged, _metrics, partial(_claim_old_or_new, name="metrics.json"), _up_to_size_of("metrics.json")
    ),
    RecordWrite(
        "new-file",
        _unchanged,
        lambda folder: write_whole(folder / "new.bin", _TEXT),
        partial(_claim_old_or_new, name="new.bin"),
        _up_to_size_of("new.bin"),
    ),
    RecordWrite("rows", _unchanged, _rows, _claim_rows, _up_to_size_of("more.jsonl")),
    RecordWrite("seal", unseal, _seal, _claim_sealed, _up_to_size_of("manifest*")),
    RecordWrite("seal-again", _unchanged, _seal, _claim_sealed, _up_to_size_of("manifest*")),
    RecordWrite("check", _unchanged, _check, _claim_checked, _positions_of_check),
    RecordWrite("check-again", _check, _check, _claim_checked, _positions_of_check),
    RecordWrite("acknowledge", _unchanged, _acknowledge, _claim_checked, _positions_of_event),
    RecordWrite("acknowledge-again", _acknowledge, _acknowledge, _claim_checked, _positions_of_event),
)


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    for write in WRITES:
        base = context.work / "record-bytes" / f"of-{write.name}"
        folders = _before_and_after(write, finished(context), base)
        for position in evenly_spread(write.positions(folders), context.count):
            yield Attempt(
                f"record-bytes-{write.name}-{position}",
                partial(_at_byte, write=write, folders=folders, position=position),
            )
        counted = _copy(folders.before, base / "counted")
        steps = count_steps(partial(_perform, write, counted))
        for step in evenly_spread(range(steps + 1), context.count):
            attempt = partial(_at_step, write=write, folders=folders, step=step)
            yield Attempt(f"record-bytes-{write.name}-step-{step}", attempt)


def _before_and_after(write: RecordWrite, run: Path, base: Path) -> BeforeAndAfter:
    before = _copy(run, base / "before")
    write.prepare(before)
    undisturbed = _copy(before, base / "done")
    write.perform(undisturbed)
    return BeforeAndAfter(before, undisturbed)


def _copy(run: Path, home: Path) -> Path:
    """A copy under the run's own name, as the seal requires."""
    return copy_into(Tc(home), run)


def _perform(write: RecordWrite, folder: Path, _acknowledge: Callable[[], None]) -> None:
    write.perform(folder)


def _at_byte(trial: Trial, write: RecordWrite, folders: BeforeAndAfter, position: int) -> None:
    after = _copy(folders.before, trial.folder)
    code, _ = dies_at_byte(partial(_perform, write, after), position)
    trial.observe("death at a byte", "by the kernel" if code == XFSZ else f"none, exit {code}")
    trial.claim(code in (XFSZ, 0), f"ended with {code} at byte {position}")
    write.claim(trial, folders, after)


def _at_step(trial: Trial, write: RecordWrite, folders: BeforeAndAfter, step: int) -> None:
    after = _copy(folders.before, trial.folder)
    code, _ = dies_at_step(partial(_perform, write, after), step)
    trial.observe("death at a step", "killed" if code == KILLED else f"none, exit {code}")
    trial.claim(code in (KILLED, 0), f"ended with {code} at step {step}")
    write.claim(trial, folders, after)

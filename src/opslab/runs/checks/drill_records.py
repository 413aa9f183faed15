"""The records of drills: write one into the run that had its fault, read them again."""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from opslab.context import Context
from opslab.errors import Corrupt, Environment, NotFound
from opslab.model.checks.check_kind import drill_record
from opslab.model.checks.drill import DrillRecord
from opslab.model.journal.check_events import FailureDrillExecuted
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.ids import RunId
from opslab.runs.checks.later_event import append_and_seal
from opslab.runs.record.state import read_state
from opslab.store.files import json_bytes, make_folder, write_whole, writing
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import run_folder

MAX_BYTES = 64 << 20


def record_drill(context: Context, run_id: RunId, record: DrillRecord, report: str) -> None:
    """Write record and report of a drill into a run that has ended, and seal it again.

    Raises Environment, Corrupt, Unwritable; then nothing is recorded.
    """
    folder = context.layout.run(run_id)
    file, data = drill_record(record.definition.name), json_bytes(record.model_dump(mode="json"))

    def write() -> FailureDrillExecuted:
        with writing("write the record of the drill"):
            make_folder((folder / file).parent)
            write_whole((folder / file).with_suffix(".md"), report.encode())
            write_whole(folder / file, data)
        return _event(record).with_file(file, digest_bytes(data))

    with owned(folder):
        if append_and_seal(folder, context, write, by="drill") is None:
            raise Environment(f"run {run_id} is not sealed", hint=f"tc run recover {run_id}")


def _event(record: DrillRecord) -> FailureDrillExecuted:
    """Without its file."""
    judgement = record.judgement
    return FailureDrillExecuted(
        drill=record.definition.name,
        status=record.status,
        verdict=judgement.verdict,
        deviated_at=judgement.deviated_at,
        control_run_id=record.control.run_id if record.control else None,
        started_at=record.started_at,
        ended_at=record.ended_at,
        detect_seconds=_slowest(step.detect_seconds for step in judgement.times),
        recover_seconds=_slowest(step.recover_seconds for step in judgement.times),
        engine_limits=[limit.name for limit in judgement.engine_limits],
    )


def _slowest(seconds: Iterator[float | None]) -> float | None:
    return max((value for value in seconds if value is not None), default=None)


def read_drill(context: Context, run_id: str) -> DrillRecord:
    """Raises NotFound for a run without a drill, Corrupt for a record that differs from the journal or is none."""
    folder = run_folder(context.layout, run_id)
    section = read_state(folder).failure_drill
    if section is None:
        raise NotFound(f"run {run_id} is not of a drill", hint="tc drill list shows the drills with their runs")
    file = drill_record(str(section["drill"]))
    data = _read(folder / file)
    if data is None or digest_bytes(data) != section["digest"]:
        raise Corrupt(f"run {run_id}: {file} is not the record that the journal names", hint=f"tc run verify {run_id}")
    try:
        return DrillRecord.model_validate_json(data)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Corrupt(f"run {run_id}: {file} cannot be read by this version: {field}") from None


def _read(path: Path) -> bytes | None:
    """None when it is not a regular file of a plausible size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(MAX_BYTES)

"""Two runs: which part of their inputs differs, whether their results do, and at which first event."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from opslab.errors import Corrupt
from opslab.model.checks.comparison import Comparison, FirstDifference, InputPart, Outcome, RecordedLine
from opslab.model.checks.parity import Parity
from opslab.model.messages.engine_messages import RESULT_FILES
from opslab.model.primitives.difference import Difference, differences
from opslab.model.primitives.ids import RunId
from opslab.model.run.code_inputs import CodeParts
from opslab.model.run.metadata import RunMetadata
from opslab.model.spec.run_spec import RunSpec
from opslab.ports import Processes
from opslab.runs.record.state import as_seen, read_state
from opslab.runs.record.verify import verify
from opslab.specs.load import load_spec
from opslab.store.layout import Layout
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import read_bodies
from opslab.store.runs.run_folders import CODE, INPUTS, SPEC, read_rows

RESULT_EVENTS = ("order_event", "scenario_action_triggered")
"""What a strategy and the venue did; the other events are about the run itself."""
_BY_VERDICT: dict[str, Outcome] = {"pass": "same", "fail": "differ", "unknown": "unknown"}
EXIT_CODES: dict[Outcome, int] = {"same": 0, "differ": 1, "unknown": 3}


@dataclass(frozen=True, slots=True)
class RunSide:
    """One run, as far as it is compared."""

    folder: Path
    metadata: RunMetadata
    spec: RunSpec
    code: CodeParts | None
    """None of a run that was never started."""


def compare(layout: Layout, a: RunId, b: RunId, processes: Processes) -> Comparison:
    """Raises Corrupt when one of the two is not what was sealed, or cannot be read."""
    one, two = (side_of(layout, run_id, processes) for run_id in (a, b))
    parts = input_parts(one, two)
    counters = _counters(one.metadata, two.metadata)
    digests = one.metadata.result_digest, two.metadata.result_digest
    first, compared = None, 0
    results: Outcome
    beside = None
    if "paper" in (one.metadata.mode, two.metadata.mode):
        beside = _beside(layout, one, two)
        results, message, compared = _BY_VERDICT[beside.verdict], beside.message, beside.decisions.same
    elif digests[0] and digests[0] == digests[1]:
        results = "same"
        message = "the result digests are equal"
    else:
        first, compared = first_difference(one, two)
        results, message = _outcome(one.metadata, two.metadata, first, compared)
    return Comparison(
        a=a,
        b=b,
        inputs="differ" if parts else "same",
        parts=tuple(parts),
        results=results,
        message=message,
        counters=tuple(counters),
        first=first,
        parity=beside,
        compared=compared,
    )


def _beside(layout: Layout, a: RunSide, b: RunSide) -> Parity:
    """Two runs of which at least one met a clock."""
    from opslab.runs.comparison.parity.parity import (  # loads pyarrow, which two backtests do not need
        ComparedRun,
        parity,
    )

    runs = []
    for side in (a, b):
        paper = getattr(side.spec, "paper", None)
        drawn = None if paper is None else paper.ticks_per_minute
        runs.append(ComparedRun(side.folder, side.metadata, side.spec.account, side.spec.observability.journal, drawn))
    return parity(layout, runs[0], runs[1])


def side_of(layout: Layout, run_id: RunId, processes: Processes) -> RunSide:
    """A run that can be relied on. Raises Corrupt."""
    found = verify(layout, run_id, processes, lambda _size: None)
    if found.verdict == "changed":
        raise Corrupt(f"run {run_id} cannot be relied on: {found.message}", hint=f"tc run verify {run_id}")
    folder = layout.run(run_id)
    return RunSide(folder, as_seen(read_state(folder), processes), load_spec(folder / SPEC).spec, read_code(folder))


def read_code(folder: Path) -> CodeParts | None:
    """What the code of a run was; None when it was never started. Raises Corrupt."""
    try:
        return CodeParts.model_validate_json((folder / INPUTS / CODE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise Corrupt(f"run {folder.name}: {INPUTS}/{CODE} is not what was written") from None


def input_parts(a: RunSide, b: RunSide) -> list[InputPart]:
    """The parts of the input digest that differ; none when the digests are equal."""
    one, two = a.metadata.identity, b.metadata.identity
    if one is None or two is None or one == two:
        return []
    parts = []
    if one.spec_digest != two.spec_digest:
        parts.append(InputPart(part="spec", differences=tuple(differences(a.spec.identity_values(), b.spec.identity_values()))))
    if one.dataset_fingerprint != two.dataset_fingerprint:
        found = differences(_dataset(a.metadata), _dataset(b.metadata))
        parts.append(InputPart(part="dataset", differences=tuple(found)))
    if one.code_digest != two.code_digest:
        parts.append(InputPart(part="code", differences=tuple(differences(_code(a), _code(b)))))
    for part, name in (("engine", "engine_version"), ("python", "python_version")):
        found = differences({name: getattr(one, name)}, {name: getattr(two, name)})
        if found:
            parts.append(InputPart.model_validate({"part": part, "differences": tuple(found)}))
    return parts


def first_difference(a: RunSide, b: RunSide) -> tuple[FirstDifference | None, int]:
    """Where the two first part, and how much was the same before. None when they do not.

    By the journals; by the result files where a journal was asked to leave order events out, or says too little.
    """
    compared = 0
    streams: list[tuple[str, Iterator[tuple[int, bytes]], Iterator[tuple[int, bytes]]]] = []
    if a.spec.observability.journal and b.spec.observability.journal:
        streams.append((JOURNAL, read_bodies(a.folder, RESULT_EVENTS), read_bodies(b.folder, RESULT_EVENTS)))
    for name in RESULT_FILES:
        streams.append((f"{name}.jsonl", read_rows(a.folder, name), read_rows(b.folder, name)))
    for file, ones, twos in streams:
        number = 0
        for number, (one, two) in enumerate(zip_longest(ones, twos), 1):
            if one is None or two is None or one[1] != two[1]:
                return _first(file, number, one, two), number - 1
        compared = compared or number
    return None, compared


def _first(file: str, number: int, a: tuple[int, bytes] | None, b: tuple[int, bytes] | None) -> FirstDifference:
    one, two = _place(a), _place(b)
    found = differences(one.content if one else {}, two.content if two else {}) if one and two else []
    return FirstDifference(file=file, number=number, a=one, b=two, differences=tuple(found))


def _place(found: tuple[int, bytes] | None) -> RecordedLine | None:
    return RecordedLine(line=found[0], content=from_json(found[1])) if found else None


def _outcome(a: RunMetadata, b: RunMetadata, first: FirstDifference | None, compared: int) -> tuple[Outcome, str]:
    unfinished = [run for run in (a, b) if run.status != "completed"]
    if first and first.a and first.b:
        return "differ", f"{compared:,} are the same, number {first.number:,} of {first.file} is not"
    if first and not unfinished:
        shorter = a if first.a is None else b
        return "differ", f"{compared:,} are the same, then {shorter.run_id} has no more in {first.file}"
    if unfinished:
        names = " and ".join(f"{run.run_id} is {run.status}" for run in unfinished)
        return "unknown", f"{names}; as far as both go, {compared:,} are the same"
    return "differ", "the result digests differ, and no event and no row does: the counters do"


def _counters(a: RunMetadata, b: RunMetadata) -> list[Difference]:
    if a.metrics is None or b.metrics is None:
        return []
    return differences(a.metrics.model_dump(), b.metrics.model_dump())


def _dataset(run: RunMetadata) -> Mapping[str, Any]:
    return run.dataset.model_dump(exclude={"start", "end"}) if run.dataset else {}


def _code(side: RunSide) -> Mapping[str, Any]:
    if side.code is None:
        return {}
    packages = dict(text.split("==", 1) for text in side.code.distributions)
    return {"package": side.code.package, "installed": packages, "strategy": side.code.strategy}

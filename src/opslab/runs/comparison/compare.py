"""Compare two runs: the inputs that differ, whether the results differ, and the first differing event."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from opslab.context import Context
from opslab.errors import Corrupt
from opslab.model.checks.comparison import (
    Comparison,
    ComparisonOutcome,
    FirstDifference,
    InputPart,
    RecordedLine,
    UnservedSubscriptions,
    WarningPair,
)
from opslab.model.checks.parity import Parity
from opslab.model.messages.engine_messages import RESULT_FILES
from opslab.model.primitives.difference import Difference, differences
from opslab.model.primitives.ids import RunId
from opslab.model.run.code_inputs import CodeParts
from opslab.model.run.metadata import RunMetadata
from opslab.model.spec.run_spec import RunSpec
from opslab.runs.record.state import as_seen, read_state
from opslab.runs.record.verify import verify
from opslab.specs.load import load_spec
from opslab.store.layout import Layout
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import read_bodies
from opslab.store.runs.run_folders import CODE, INPUTS, SPEC, read_rows

RESULT_EVENTS = ("order_event", "scenario_action_triggered")
"""Events of strategy and venue; all others concern the run itself."""
_BY_VERDICT: dict[str, ComparisonOutcome] = {"pass": "same", "fail": "differ", "unknown": "unknown"}
EXIT_CODES: dict[ComparisonOutcome, int] = {"same": 0, "differ": 1, "unknown": 3}


@dataclass(frozen=True, slots=True)
class RunSide:
    """One of the two runs."""

    folder: Path
    metadata: RunMetadata
    spec: RunSpec
    code: CodeParts | None
    """None for a run that was never started."""


def compare(context: Context, a: RunId, b: RunId) -> Comparison:
    """Raises Corrupt when a run differs from its seal or cannot be read."""
    left, right = (side_of(context, run_id) for run_id in (a, b))
    parts = input_parts(left, right)
    counters = _counters(left.metadata, right.metadata)
    digests = left.metadata.result_digest, right.metadata.result_digest
    first, compared = None, 0
    results: ComparisonOutcome
    found = None
    if "paper" in (left.metadata.mode, right.metadata.mode):
        found = _compare_with_paper(context.layout, left, right)
        results, message, compared = (
            _BY_VERDICT[found.verdict],
            found.message,
            found.decisions.same,
        )
    elif digests[0] and digests[0] == digests[1]:
        results = "same"
        message = "the result digests are equal"
    else:
        first, compared = first_difference(left, right)
        results, message = _outcome(left.metadata, right.metadata, first, compared)
    unserved = unserved_subscriptions(left.metadata, right.metadata)
    return Comparison(
        a=a,
        b=b,
        inputs="differ" if parts else "same",
        parts=tuple(parts),
        results=results,
        message=_with_unserved(message, unserved),
        warnings=_warnings(left.metadata, right.metadata),
        counters=tuple(counters),
        first=first,
        parity=found,
        unserved=unserved,
        compared=compared,
    )


def _compare_with_paper(layout: Layout, a: RunSide, b: RunSide) -> Parity:
    """Compare two runs of which at least one is a paper run."""
    from opslab.runs.comparison.parity.parity import (  # loads pyarrow; not needed for two backtests
        ComparedRun,
        parity,
    )

    runs = []
    for side in (a, b):
        paper = getattr(side.spec, "paper", None)
        market_parameters = None if paper is None else paper.ticks_per_minute
        runs.append(
            ComparedRun(
                side.folder, side.metadata, side.spec.account, side.spec.observability.journal, market_parameters
            )
        )
    return parity(layout, runs[0], runs[1])


def side_of(context: Context, run_id: RunId) -> RunSide:
    """A verified run. Raises Corrupt."""
    found = verify(context, run_id, lambda _size: None)
    if found.verdict == "changed":
        raise Corrupt(f"run {run_id} failed verification: {found.message}", hint=f"tc run verify {run_id}")
    folder = context.layout.run(run_id)
    return RunSide(
        folder, as_seen(read_state(folder), context.processes), load_spec(folder / SPEC).spec, read_code(folder)
    )


def read_code(folder: Path) -> CodeParts | None:
    """The recorded code of a run; None when it was never started. Raises Corrupt."""
    try:
        return CodeParts.model_validate_json((folder / INPUTS / CODE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise Corrupt(f"run {folder.name}: {INPUTS}/{CODE} differs from what was written") from None


def input_parts(a: RunSide, b: RunSide) -> list[InputPart]:
    """The parts of the input digest that differ; none when the digests are equal."""
    left, right = a.metadata.identity, b.metadata.identity
    if left is None or right is None or left == right:
        return []
    parts = []
    if left.spec_digest != right.spec_digest:
        parts.append(
            InputPart(part="spec", differences=tuple(differences(a.spec.identity_values(), b.spec.identity_values())))
        )
    if left.dataset_fingerprint != right.dataset_fingerprint:
        found = differences(_dataset(a.metadata), _dataset(b.metadata))
        parts.append(InputPart(part="dataset", differences=tuple(found)))
    if left.code_digest != right.code_digest:
        parts.append(InputPart(part="code", differences=tuple(differences(_code(a), _code(b)))))
    for part, name in (("engine", "engine_version"), ("python", "python_version")):
        found = differences({name: getattr(left, name)}, {name: getattr(right, name)})
        if found:
            parts.append(InputPart.model_validate({"part": part, "differences": tuple(found)}))
    return parts


def first_difference(a: RunSide, b: RunSide) -> tuple[FirstDifference | None, int]:
    """The first difference, if any, and the number of equal items before it.

    From the journals; from the result files where a journal has no order events or too few.
    """
    compared = 0
    streams: list[tuple[str, Iterator[tuple[int, bytes]], Iterator[tuple[int, bytes]]]] = []
    if a.spec.observability.journal and b.spec.observability.journal:
        streams.append((JOURNAL, read_bodies(a.folder, RESULT_EVENTS), read_bodies(b.folder, RESULT_EVENTS)))
    for name in RESULT_FILES:
        streams.append((f"{name}.jsonl", read_rows(a.folder, name), read_rows(b.folder, name)))
    for file, left_lines, right_lines in streams:
        number = 0
        for number, (left, right) in enumerate(zip_longest(left_lines, right_lines), 1):
            if left is None or right is None or left[1] != right[1]:
                return _first_difference(file, number, left, right), number - 1
        compared = compared or number
    return None, compared


def _first_difference(
    file: str, number: int, a: tuple[int, bytes] | None, b: tuple[int, bytes] | None
) -> FirstDifference:
    left, right = _recorded_line(a), _recorded_line(b)
    found = differences(left.content if left else {}, right.content if right else {}) if left and right else []
    return FirstDifference(file=file, number=number, a=left, b=right, differences=tuple(found))


def _recorded_line(found: tuple[int, bytes] | None) -> RecordedLine | None:
    return RecordedLine(line=found[0], content=from_json(found[1])) if found else None


def _outcome(
    a: RunMetadata, b: RunMetadata, first: FirstDifference | None, compared: int
) -> tuple[ComparisonOutcome, str]:
    unfinished = [run for run in (a, b) if run.status != "completed"]
    if first and first.a and first.b:
        return "differ", f"{compared:,} are equal, number {first.number:,} of {first.file} differs"
    if first and not unfinished:
        shorter = a if first.a is None else b
        return "differ", f"{compared:,} are equal, then {shorter.run_id} has no more in {first.file}"
    if unfinished:
        names = " and ".join(f"{run.run_id} is {run.status}" for run in unfinished)
        return "unknown", f"{names}; {compared:,} are equal, as far as both have any"
    return "differ", "the result digests differ although events and rows are equal: the counters differ"


def unserved_subscriptions(*runs: RunMetadata) -> tuple[UnservedSubscriptions, ...]:
    """What the strategies of these runs subscribed to and did not receive truthfully."""
    return tuple(
        UnservedSubscriptions(run_id=run.run_id, code=warning.code, text=warning.text)
        for run in runs
        for warning in run.warnings
        if warning.code in ("subscription_empty", "subscription_untruthful")
    )


def _with_unserved(message: str, unserved: tuple[UnservedSubscriptions, ...]) -> str:
    names = dict.fromkeys(one.run_id for one in unserved)
    return f"{message}; subscriptions of {' and '.join(names)} were not served, or not truthfully" if names else message


def _warnings(a: RunMetadata, b: RunMetadata) -> tuple[WarningPair, ...]:
    left, right = ({each.code: each for each in run.warnings} for run in (a, b))
    return tuple(WarningPair(code=code, a=left.get(code), b=right.get(code)) for code in {**left, **right})


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

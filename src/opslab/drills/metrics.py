"""Metrics of failure drills, from the summaries in the rows of the run list."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from opslab.drills.recorded import VERDICTS, RecordedDrills, recorded_drills
from opslab.metrics.family import Family, Sample
from opslab.runs.record.selection import Row

NEVER_RUN = "never_run"
STATES = (*VERDICTS, NEVER_RUN)

STATE = Family(
    "opslab_drill_state",
    "gauge",
    "1 for the verdict of the drill's last run, 0 for the others. Each drill of the lab has its series, "
    "also one that was never run.",
    ("drill", "state"),
)
RUNS = Family(
    "opslab_drill_runs", "gauge", "Recorded runs of the drill by verdict, in the runs that exist.", ("drill", "verdict")
)
UNREADABLE = Family(
    "opslab_drill_runs_unreadable",
    "gauge",
    "Recorded runs of the drill whose summary cannot be read. They count nowhere else.",
    ("drill",),
)
STARTED_AT = Family(
    "opslab_drill_last_started_timestamp_seconds", "gauge", "When the drill's last run started.", ("drill",)
)
ENDED_AT = Family("opslab_drill_last_ended_timestamp_seconds", "gauge", "When the drill's last run ended.", ("drill",))
PASSED_AT = Family(
    "opslab_drill_last_pass_timestamp_seconds",
    "gauge",
    "When the drill's last run with the verdict pass ended. Without a value while it never passed.",
    ("drill",),
)
DETECT = Family(
    "opslab_drill_detect_seconds",
    "gauge",
    "Time from the injection to the detection in the drill's last run, of its slowest step. "
    "Without a value when nothing was detected.",
    ("drill",),
)
RECOVER = Family(
    "opslab_drill_recover_seconds",
    "gauge",
    "Time from the end of the fault to the recovery in the drill's last run, of its slowest step. "
    "Without a value when there was no recovery.",
    ("drill",),
)
FIRST_AT = Family(
    "opslab_drills_first_ended_timestamp_seconds",
    "gauge",
    "When the oldest recorded run of any drill ended. Without a value in a home without drills.",
)

FAMILIES = (STATE, RUNS, UNREADABLE, STARTED_AT, ENDED_AT, PASSED_AT, DETECT, RECOVER, FIRST_AT)


def drill_samples(rows: Iterable[Row], names: Sequence[str]) -> Iterator[Sample]:
    """names: of the drills that the lab has."""
    drills = recorded_drills(rows, names)
    for name, recorded in drills.items():
        yield from _of_drill(name, recorded)
    first = min((recorded.readable[0].ended_at for recorded in drills.values() if recorded.readable), default=None)
    yield from FIRST_AT.at(first)


def _of_drill(name: str, recorded: RecordedDrills) -> Iterator[Sample]:
    last, last_pass = recorded.last, recorded.last_pass
    yield from STATE.states(STATES, last.verdict if last else NEVER_RUN, name)
    counts = Counter(each.verdict for each in recorded.readable)
    for verdict in VERDICTS:
        yield RUNS.sample(counts[verdict], name, verdict)
    yield UNREADABLE.sample(recorded.unreadable, name)
    yield from PASSED_AT.at(last_pass.ended_at if last_pass else None, name)
    if last is None:
        return
    yield from STARTED_AT.at(last.started_at, name)
    yield from ENDED_AT.at(last.ended_at, name)
    if last.detect_seconds is not None:
        yield DETECT.sample(last.detect_seconds, name)
    if last.recover_seconds is not None:
        yield RECOVER.sample(last.recover_seconds, name)

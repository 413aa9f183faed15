"""Metrics of all runs together."""

from collections import Counter
from collections.abc import Iterable, Iterator

from opslab.metrics.family import Family, Sample
from opslab.model.run.metadata import FINAL
from opslab.runs.record.selection import MODES, STATUSES, Row
from opslab.store.run_ends import EndKey

RUNS = Family("opslab_runs", "gauge", "Runs of the home by mode and status.", ("mode", "status"))
RUN_ENDS = Family(
    "opslab_run_ends_total",
    "counter",
    "Ends of runs. A run is counted once for each final status in which it was seen, also after it was deleted.",
    ("mode", "status", "ended_by"),
)
UNACKNOWLEDGED = Family(
    "opslab_runs_unacknowledged",
    "gauge",
    "Ended runs that need an acknowledgement and have none, by reason.",
    ("reason",),
)
UNREADABLE = Family("opslab_runs_unreadable", "gauge", "Runs whose files cannot be read.")
NOT_SHOWN = Family("opslab_runs_not_shown", "gauge", "Runs without series of their own.")

FAMILIES = (RUNS, RUN_ENDS, UNACKNOWLEDGED, UNREADABLE, NOT_SHOWN)

REASONS = ("failed", "interrupted", "halted", "mismatch")
"""As `Row.attention`."""


def home_samples(rows: Iterable[Row], ends: Counter[EndKey], not_shown: int) -> Iterator[Sample]:
    """ends: counted so far."""
    statuses: Counter[tuple[str | None, str | None]] = Counter()
    reasons: Counter[str | None] = Counter()
    unreadable = 0
    for row in rows:
        if row.error is not None:
            unreadable += 1
            continue
        statuses[row.mode, row.status] += 1
        reasons[row.attention] += 1
    for mode in MODES:
        for status in STATUSES:
            yield RUNS.sample(statuses[mode, status], mode, status)
            if status in FINAL and not any(key[:2] == (mode, status) for key in ends):
                yield RUN_ENDS.sample(0, mode, status, "")
    for key, count in sorted(ends.items()):
        yield RUN_ENDS.sample(count, *key)
    for reason in REASONS:
        yield UNACKNOWLEDGED.sample(reasons[reason], reason)
    yield UNREADABLE.sample(unreadable)
    yield NOT_SHOWN.sample(not_shown)

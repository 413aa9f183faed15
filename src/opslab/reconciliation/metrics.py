"""Metrics of the comparisons of a node's account with its venue's."""

from collections.abc import Iterator, Mapping
from typing import get_args

from opslab.metrics.family import Family, Sample
from opslab.model.run.run_counters import Reconciled

TOTAL = Family(
    "opslab_reconciliations_total",
    "counter",
    "Reconciliations of a paper run at its engines' starts and periodically, by result.",
    ("run_id", "state"),
)
STATE = Family(
    "opslab_reconciliation_state",
    "gauge",
    "1 for the result of the last reconciliation, 0 for the others.",
    ("run_id", "state"),
)
AT = Family(
    "opslab_reconciliation_timestamp_seconds", "gauge", "Time of the last reconciliation's snapshots.", ("run_id",)
)

FAMILIES = (TOTAL, STATE, AT)

_STATES: tuple[str, ...] = get_args(Reconciled)


def counter_samples(run_id: str, counts: Mapping[str, int]) -> Iterator[Sample]:
    """counts: result to number; a result that is not in it has none."""
    for state in _STATES:
        yield TOTAL.sample(counts.get(state, 0), run_id, state)


def last_samples(run_id: str, state: str, as_of: str | None) -> Iterator[Sample]:
    yield from STATE.states(_STATES, state, run_id)
    yield from AT.at(as_of, run_id)

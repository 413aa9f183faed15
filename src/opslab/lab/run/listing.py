"""List runs. Loads neither the models nor any third-party package while the index is complete."""

from opslab.context import Context
from opslab.runs.record import registry
from opslab.runs.record.selection import (
    MODES,
    SORT_KEYS,
    STATUSES,
    Page,
    Row,
    Selection,
    one_of,
    parse_digest_prefix,
    parse_since,
    select,
)

__all__ = [
    "MODES",
    "SORT_KEYS",
    "STATUSES",
    "Page",
    "Row",
    "Selection",
    "list_runs",
    "one_of",
    "parse_digest_prefix",
    "parse_since",
]


def list_runs(context: Context, wanted: Selection) -> Page:
    return select(registry.list_runs(context), wanted)

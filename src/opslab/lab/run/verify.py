"""Verify runs against their seals."""

from collections.abc import Callable, Sequence

from opslab.context import Context
from opslab.lab.run.names import all_runs, existing_run
from opslab.model.primitives.ids import RunId
from opslab.model.run.manifest import Verification
from opslab.runs.record import verify as verification
from opslab.runs.record.verify import EXIT_CODES, hint, verify

__all__ = ["EXIT_CODES", "all_runs", "existing_run", "hint", "size_to_verify", "verify", "verify_all"]


def size_to_verify(context: Context, runs: Sequence[RunId]) -> int:
    """Bytes."""
    return sum(verification.size_to_verify(context.layout, run_id) for run_id in runs)


def verify_all(context: Context, runs: Sequence[RunId], tick: Callable[[int], None]) -> list[Verification]:
    """As `verify`; a run in another format is a finding."""
    return [verification.verify_one_of_many(context, run_id, tick) for run_id in runs]

"""Settle and seal runs whose owners died."""

from opslab.context import Context
from opslab.lab.run.names import all_runs, existing_run
from opslab.runs import recovery
from opslab.runs.recovery import Recovered

__all__ = ["Recovered", "recover", "recover_all"]


def recover(context: Context, run_id: str, gone_host: str | None) -> Recovered:
    """gone_host: a lost machine. Raises Environment when the owner lives, Corrupt when the run is broken."""
    return recovery.recover(context, existing_run(context, run_id), gone_host)


def recover_all(context: Context, gone_host: str | None) -> list[tuple[Recovered, int]]:
    """Recover every run: the action, and the exit code of a single recovery."""
    return [recovery.try_to_recover(context, run_id, gone_host) for run_id in all_runs(context)]

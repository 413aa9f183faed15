"""Settle runs: recover and seal those whose owners died, acknowledge those that have ended."""

from opslab.context import Context
from opslab.lab.kill import checked_actor, checked_reason
from opslab.lab.run.names import all_runs, existing_run
from opslab.runs import recovery
from opslab.runs.checks import acknowledgement
from opslab.runs.checks.acknowledgement import RecordedAcknowledgement
from opslab.runs.recovery import Recovered

__all__ = [
    "RecordedAcknowledgement",
    "Recovered",
    "acknowledge",
    "checked_actor",
    "checked_reason",
    "recover",
    "recover_all",
]


def recover(context: Context, run_id: str, gone_host: str | None) -> Recovered:
    """gone_host: a lost machine. Raises Environment when the owner lives, Corrupt when the run is broken."""
    return recovery.recover(context, existing_run(context, run_id), gone_host)


def recover_all(context: Context, gone_host: str | None) -> list[tuple[Recovered, int]]:
    """Recover every run: the action, and the exit code of a single recovery."""
    return [recovery.try_to_recover(context, run_id, gone_host) for run_id in all_runs(context)]


def acknowledge(context: Context, run_id: str, reason: str, actor: str) -> RecordedAcknowledgement:
    """Raises BadId, NotFound, Environment, Corrupt, Unwritable."""
    return acknowledgement.acknowledge(context, existing_run(context, run_id), reason, actor)

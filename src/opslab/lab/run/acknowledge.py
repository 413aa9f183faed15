"""Acknowledge the end of a run."""

from opslab.context import Context
from opslab.lab.kill import checked_actor, checked_reason
from opslab.lab.run.names import existing_run
from opslab.runs.checks import acknowledgement
from opslab.runs.checks.acknowledgement import RecordedAcknowledgement

__all__ = ["RecordedAcknowledgement", "acknowledge", "checked_actor", "checked_reason"]


def acknowledge(context: Context, run_id: str, reason: str, actor: str) -> RecordedAcknowledgement:
    """Raises BadId, NotFound, Environment, Corrupt, Unwritable."""
    return acknowledgement.acknowledge(context, existing_run(context, run_id), reason, actor)

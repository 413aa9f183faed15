"""`tc run acknowledge`: settle what the end of a run reports."""

from typing import Annotated

import typer

from opslab.cli.options import Actor, Home, Json, Reason, login_name
from opslab.cli.output import note, result_fields, result_json


def acknowledge(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Name of the run.", show_default=False)],
    reason: Reason,
    actor: Actor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Acknowledge the end of a run.

    A run that failed, was interrupted or halted, or whose last reconciliation is a mismatch, is reported until it is
    acknowledged.
    """
    from opslab.lab.context import open_context
    from opslab.lab.run import recover as settling

    reason = settling.checked_reason(reason)
    actor = settling.checked_actor(login_name() if actor is None else actor)
    recorded = settling.acknowledge(open_context(home), run_id, reason, actor)
    now, previous = recorded.acknowledged, recorded.previous
    if as_json:
        result_json(
            {
                "run_id": recorded.run_id,
                "status": recorded.status,
                "acknowledged": now.model_dump(),
                "replaced": previous.model_dump() if previous else None,
                "seal": recorded.seal,
            }
        )
    else:
        result_fields(
            [
                ("run", recorded.run_id),
                ("status", recorded.status),
                ("acknowledged", now.at),
                ("actor", now.actor),
                ("reason", now.reason),
                ("seal", recorded.seal),
            ]
        )
    if previous:
        note(f"this replaces the acknowledgement of {previous.at} by {previous.actor}: {previous.reason}")

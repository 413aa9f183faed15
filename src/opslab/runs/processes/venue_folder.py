"""The venue that a run has to itself: made before it is served, kept with the run when it has ended.

While the run lasts it is a venue like any other, named as the run: `tc venue fault` finds it.
"""

from collections.abc import Callable
from pathlib import Path

from opslab.errors import AlreadyExists, Environment
from opslab.model.messages.venue_messages import VenuePlan, VenueRecord
from opslab.model.primitives.ids import RunId, VenueId
from opslab.model.primitives.instant import iso_minute
from opslab.store.files import discard_folder
from opslab.store.layout import Layout
from opslab.store.runs.owner import is_held
from opslab.store.venues.ledger import at_rest
from opslab.store.venues.venue_files import keep_events, keep_ledger, new_venue, read_venue


def prepare_run_venue(layout: Layout, plan: VenuePlan) -> Path:
    """Make the folder that `plan.ledger` names, its owner's alone, with what the venue is and the token of its door.

    Before its first start only: to be served again it needs nothing, and a new token is written by the venue itself.
    Raises AlreadyExists for a name that another venue has, BadId.
    """
    folder = layout.venue(VenueId(plan.name))
    if Path(plan.ledger) != folder:
        raise ValueError(f"the ledger of venue {plan.name} belongs into its folder")
    try:
        new_venue(folder, _record(plan), plan.token)
    except AlreadyExists:
        raise AlreadyExists(
            f"venue {plan.name} exists already", hint="a run's venue is named as the run: choose another --run-id"
        ) from None
    return folder


def is_served(layout: Layout, run_id: RunId) -> bool:
    """Whether the run's venue is there, also one that has outlived its control, or that does not listen yet."""
    folder = layout.venue(VenueId(run_id))
    if is_held(folder):
        return True
    try:
        with at_rest(folder):
            return False
    except Environment:
        return True


def own_venue(layout: Layout, run_id: RunId) -> Path | None:
    """Where the run's venue is as long as it is not put away. Raises Corrupt when nobody can tell whose it is."""
    folder = layout.venue(VenueId(run_id))
    record = read_venue(folder)
    return folder if record is not None and record.run_id == run_id else None


def keep_venue(folder: Path, run_folder: Path, clean: Callable[[str], str]) -> None:
    """Copy the ledger to `venue/ledger.jsonl` and the event log to `logs/venue-events.jsonl` of the run's folder.

    Nothing else: no token, no socket. clean: takes this machine's paths out of a text. May be done again.
    Raises Environment while the venue is served.
    """
    with at_rest(folder):
        keep_ledger(folder, run_folder)
        keep_events(folder, run_folder, clean)


def drop_venue(layout: Layout, run_id: RunId) -> None:
    """Remove the folder of the run's venue, all of it at once; one of another run, or served alone, is left alone.

    Raises Environment while the venue is served, Corrupt when nobody can tell whose it is.
    """
    folder = layout.venue(VenueId(run_id))
    if own_venue(layout, run_id):
        with at_rest(folder):
            discard_folder(folder)
    elif not folder.exists():
        discard_folder(folder)  # what was left of it by a process that died over this


def _record(plan: VenuePlan) -> VenueRecord:
    return VenueRecord(
        name=plan.name,
        symbol=plan.symbol["symbol"],
        dataset=plan.dataset,
        fingerprint=plan.fingerprint,
        start=None if plan.start_ms is None else iso_minute(plan.start_ms),
        end=None if plan.end_ms is None else iso_minute(plan.end_ms),
        ticks_per_minute=plan.ticks_per_minute,
        account=plan.account,
        run_id=plan.name,
    )

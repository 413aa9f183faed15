"""The venue of a paper run: its folder is created before the first start and copied into the run at the end.

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
from opslab.store.runs.owner import held
from opslab.store.venues.ledger import locked_ledger
from opslab.store.venues.venue_files import copy_event_log, copy_ledger, new_venue, read_venue


def prepare_run_venue(layout: Layout, plan: VenuePlan) -> Path:
    """Create the folder `plan.ledger`, accessible to its owner only, with the venue's record and its control token.

    Before the first start only: a restart needs no preparation, the venue itself writes its new token.
    Raises AlreadyExists when another venue has the name, BadId.
    """
    folder = layout.venue(VenueId(plan.name))
    if Path(plan.ledger) != folder:
        raise ValueError(f"the ledger of venue {plan.name} must be in the venue's folder")
    try:
        new_venue(folder, _record(plan), plan.token)
    except AlreadyExists:
        raise AlreadyExists(
            f"venue {plan.name} exists already", hint="a run's venue is named as the run: choose another --run-id"
        ) from None
    return folder


def is_venue_running(layout: Layout, run_id: RunId) -> bool:
    """Whether the run's venue is running, also without its control process, or before it listens.

    Waits a moment for one that is just ending: the kernel releases its locks after the process has disappeared.
    """
    folder = layout.venue(VenueId(run_id))
    if not folder.is_dir():
        return False
    running = Environment(f"venue {folder.name} is running")
    try:
        with held(folder, running), locked_ledger(folder):
            return False
    except Environment:
        return True


def run_venue_folder(layout: Layout, run_id: RunId) -> Path | None:
    """The folder of the run's venue; None after `remove_run_venue`. Raises Corrupt when its record is unreadable."""
    folder = layout.venue(VenueId(run_id))
    record = read_venue(folder)
    return folder if record is not None and record.run_id == run_id else None


def copy_venue_files(folder: Path, run_folder: Path, redact: Callable[[str], str]) -> None:
    """Copy the ledger to `venue/ledger.jsonl` and the event log to `logs/venue-events.jsonl` of the run's folder.

    Nothing else: no token, no socket. redact: removes this machine's paths from a text. Safe to repeat.
    Raises Environment while the venue is served.
    """
    with locked_ledger(folder):
        copy_ledger(folder, run_folder)
        copy_event_log(folder, run_folder, redact)


def remove_run_venue(layout: Layout, run_id: RunId) -> None:
    """Remove the folder of the run's venue atomically; a venue of another run, or without a run, is not removed.

    Raises Environment while the venue is served, Corrupt when its record is unreadable.
    """
    folder = layout.venue(VenueId(run_id))
    if run_venue_folder(layout, run_id):
        with locked_ledger(folder):
            discard_folder(folder)
    elif not folder.exists():
        discard_folder(folder)  # leftovers of a process that died during this call


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

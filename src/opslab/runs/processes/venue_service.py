"""Serve a venue without a run, for any client; audit a venue's ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from opslab.context import Context
from opslab.datasets.dataset_records import check_playable, read_record, verify_files
from opslab.errors import AlreadyExists, Corrupt, Environment, NotFound
from opslab.model.messages.ledger_events import LedgerEvent, parse_event
from opslab.model.messages.venue_messages import (
    Start,
    VenueAccount,
    VenueEndpoints,
    VenueKey,
    VenueLimits,
    VenuePlan,
    VenueProgress,
    VenueRecord,
)
from opslab.model.pipe.messages import Listening, VenueEnded, VenueLogEntry, VenueRefused
from opslab.model.primitives.difference import differences
from opslab.model.primitives.ids import DatasetId, RunId, VenueId, nearest
from opslab.model.primitives.instant import name_stamp
from opslab.resources import INSTRUMENT, exchange_info_symbol
from opslab.runs.processes.child_process import VENUE_COMMAND, ChildProcess
from opslab.runs.processes.venue_error import venue_error
from opslab.store.files import folder_names, make_folder, writing
from opslab.store.layout import Layout
from opslab.store.venues.ledger import LedgerEntry, read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER, read_venue, write_venue
from opslab.system import random_suffix, random_token
from opslab.venue.account.audit import Audit, audit

LOG = "venue.log"
DEFAULT_TICKS = 30
"""Simulated trades per minute."""


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """The options of `tc venue serve`. None: the value of its first start, or the default."""

    dataset: str
    name: str | None
    host: str
    port: int
    speed: float | None
    """None: `max`."""
    start: Start
    max_bars: int | None
    ticks_per_minute: int | None
    latency_ms: int
    balance: Decimal | None
    leverage: int | None
    instrument: str = INSTRUMENT


class VenueObserver(Protocol):
    """Receives the messages of a served venue."""

    def listening(self, name: str, endpoints: VenueEndpoints, resumes: bool) -> None: ...

    def progress(self, progress: VenueProgress) -> None: ...

    def log(self, event: str, fields: dict[str, Any]) -> None: ...


def plan_venue(context: Context, options: VenueOptions) -> tuple[VenuePlan, bool]:
    """(plan, whether it resumes an account). Checks everything that can be checked before a process starts.

    Raises NotFound, DataChanged, BadData; AlreadyExists for a name whose first start had other options.
    """
    layout, dataset = context.layout, DatasetId(options.dataset)
    record = read_record(layout, dataset)
    verify_files(layout, record)
    check_playable(record)
    name = VenueId(options.name) if options.name is not None else _generated_name(context, dataset)
    folder = layout.venue(name)
    existing = read_venue(folder)
    requested = VenueRecord(
        name=name,
        symbol=options.instrument,
        dataset=dataset,
        fingerprint=record.fingerprint,
        start=None,
        end=None,
        ticks_per_minute=options.ticks_per_minute or (existing.ticks_per_minute if existing else DEFAULT_TICKS),
        account=_account(options, existing),
    )
    if existing is None:
        write_venue(folder, requested)
    elif existing.run_id is not None:
        raise AlreadyExists(
            f"venue {name} belongs to run {existing.run_id}",
            hint=f"choose another name; tc run show {existing.run_id} shows the run",
        )
    elif existing != requested:
        changes = differences(existing.model_dump(mode="json"), requested.model_dump(mode="json"))
        raise AlreadyExists(
            f"venue {name} exists with other options",
            differences=[change.model_dump() for change in changes],
            hint="choose another name, or serve it with the options of its first start",
        )
    plan = VenuePlan(
        name=name,
        key=new_key(),
        token=random_token(),
        host=options.host,
        port=options.port,
        symbol=exchange_info_symbol(options.instrument),
        dataset=dataset,
        fingerprint=record.fingerprint,
        home=str(layout.home),
        ledger=str(folder),
        start_ms=None,
        end_ms=None,
        max_bars=options.max_bars,
        speed=options.speed,
        pace="drained" if options.speed is None else "clock",
        start=options.start,
        ticks_per_minute=requested.ticks_per_minute,
        latency_ms=options.latency_ms,
        account=requested.account,
        limits=VenueLimits(),
    )
    return plan, existing is not None


def _account(options: VenueOptions, existing: VenueRecord | None) -> VenueAccount:
    account = (
        existing.account
        if existing
        else VenueAccount(
            balance=Decimal(100_000), leverage=10, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005")
        )
    )
    return account.model_copy(
        update={
            **({"balance": options.balance} if options.balance is not None else {}),
            **({"leverage": options.leverage} if options.leverage is not None else {}),
        }
    )


def new_key() -> VenueKey:
    """A throw-away key, generated for this start."""
    return VenueKey(api_key=random_token(), api_secret=random_token())


def _generated_name(context: Context, dataset: DatasetId) -> VenueId:
    plain = VenueId(f"{name_stamp(context.clock.now_ns())}-{dataset}"[:58].rstrip("."))
    return VenueId(f"{plain}-{random_suffix()}") if context.layout.venue(plain).exists() else plain


def serve(
    context: Context,
    plan: VenuePlan,
    resumes: bool,
    on_signal: Callable[[Callable[[int], None]], None],
    observer: VenueObserver,
) -> VenueProgress | None:
    """Serve until the child ends. Returns its last progress; None when it sent none.

    on_signal: called with the handler for signals. Raises the venue's error when it could not serve; Environment when
    it died.
    """
    folder = Path(plan.ledger)
    with writing("make the venue's folder"):
        make_folder(folder)
    child = ChildProcess("venue", plan, folder / LOG, context.clock, VENUE_COMMAND)
    on_signal(child.stop)
    ended: VenueProgress | None = None
    refused: VenueRefused | None = None
    try:
        for messages in child.messages():
            for message in messages:
                match message:
                    case Listening(endpoints=endpoints):
                        observer.listening(plan.name, endpoints, resumes)
                    case VenueProgress():
                        observer.progress(message)
                    case VenueLogEntry(event=event, fields=fields):
                        observer.log(event, fields)
                    case VenueRefused():
                        refused = message
                    case VenueEnded(progress=progress):
                        ended = progress
    except BaseException:
        child.stop()
        raise
    finally:
        on_signal(lambda _count: None)
        child.close()
    if refused:
        raise venue_error(refused.exit_code, refused.message, refused.hint)
    failure = child.failure(context.redact)
    if failure:
        raise Environment(failure.message, hint=f"its output is in {folder / LOG}; the account is in its ledger")
    return ended


def audit_venue(layout: Layout, name: str) -> Audit:
    """Prove from the ledger alone that every amount of money and every quantity has a source.

    name: of a venue, or of a paper run that has ended: its ledger is in the run's folder. Raises NotFound, Corrupt.
    """
    folder = _ledger_folder(layout, VenueId(name))
    return audit(_events(entry) for entry in read_ledger(folder, name))


def _ledger_folder(layout: Layout, venue: VenueId) -> Path:
    folder = layout.venue(venue)
    if read_venue(folder) is not None:
        return folder
    run_copy = layout.run(RunId(venue)) / VENUE_FOLDER
    if run_copy.is_dir():
        return run_copy
    similar = nearest(venue, folder_names(layout.venues))
    guess = f" (did you mean {', '.join(similar)}?)" if similar else ""
    raise NotFound(
        f"venue {venue} not found{guess}", hint="tc venue serve --name NAME creates one; a paper run has one"
    )


def _events(entry: LedgerEntry) -> list[LedgerEvent]:
    try:
        return [parse_event(event) for event in entry.events]
    except ValueError:
        raise Corrupt(f"the venue's ledger, line {entry.number}: invalid event") from None

"""A venue served alone, for any client; and a look at what its ledger says."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from opslab.datasets.dataset_records import check_playable, read_record, verify_files
from opslab.errors import AlreadyExists, Corrupt, Environment, LabError, NotFound, Usage
from opslab.model.messages.ledger_events import LedgerEvent, event_of
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
from opslab.model.primitives.difference import differences
from opslab.model.primitives.ids import DatasetId, RunId, VenueId, nearest
from opslab.model.primitives.instant import iso
from opslab.ports import Clock
from opslab.resources import exchange_info_symbol
from opslab.runs.processes.child_process import VENUE_COMMAND, ChildProcess
from opslab.store.files import folder_names, make_folder, writing
from opslab.store.layout import Layout
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER, read_venue, write_venue
from opslab.venue.account.audit import Audit, audit

LOG = "venue.log"
DEFAULT_TICKS = 30
"""Trades drawn in a minute."""


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """What a venue is to be served with. None: what it was first started with, or the default."""

    dataset: str
    instrument: str
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


class VenueObserver(Protocol):
    """Who is told of a venue that is served."""

    def listening(self, name: str, endpoints: VenueEndpoints, goes_on: bool) -> None: ...

    def progress(self, progress: VenueProgress) -> None: ...

    def log(self, what: str, more: dict[str, Any]) -> None: ...


def plan_venue(layout: Layout, asked: VenueOptions, clock: Clock) -> tuple[VenuePlan, bool]:
    """(plan, whether an account goes on). Everything that can be refused before a process starts is refused here.

    Raises NotFound, DataChanged, BadData; AlreadyExists for a name that was started with something else.
    """
    dataset = DatasetId(asked.dataset)
    record = read_record(layout, dataset)
    verify_files(layout, record)
    check_playable(record)
    name = VenueId(asked.name) if asked.name is not None else _made_name(layout, dataset, clock)
    folder = layout.venue(name)
    before = read_venue(folder)
    wanted = VenueRecord(
        name=name,
        symbol=asked.instrument,
        dataset=dataset,
        fingerprint=record.fingerprint,
        start=None,
        end=None,
        ticks_per_minute=asked.ticks_per_minute or (before.ticks_per_minute if before else DEFAULT_TICKS),
        account=_account(asked, before),
    )
    if before is None:
        write_venue(folder, wanted)
    elif before.run_id is not None:
        raise AlreadyExists(
            f"venue {name} is that of run {before.run_id}",
            hint=f"take another name; tc run show {before.run_id} says what became of the run",
        )
    elif before != wanted:
        found = differences(before.model_dump(mode="json"), wanted.model_dump(mode="json"))
        raise AlreadyExists(
            f"venue {name} was started with something else",
            differences=[difference.model_dump() for difference in found],
            hint="take another name, or serve what it was started with",
        )
    plan = VenuePlan(
        name=name,
        key=new_key(),
        token=secrets.token_hex(32),
        host=asked.host,
        port=asked.port,
        symbol=exchange_info_symbol(asked.instrument),
        dataset=dataset,
        fingerprint=record.fingerprint,
        home=str(layout.home),
        ledger=str(folder),
        start_ms=None,
        end_ms=None,
        max_bars=asked.max_bars,
        speed=asked.speed,
        pace="drained" if asked.speed is None else "clock",
        start=asked.start,
        ticks_per_minute=wanted.ticks_per_minute,
        latency_ms=asked.latency_ms,
        account=wanted.account,
        limits=VenueLimits(),
    )
    return plan, before is not None


def _account(asked: VenueOptions, before: VenueRecord | None) -> VenueAccount:
    found = (
        before.account
        if before
        else VenueAccount(
            balance=Decimal(100_000), leverage=10, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005")
        )
    )
    return found.model_copy(
        update={
            **({"balance": asked.balance} if asked.balance is not None else {}),
            **({"leverage": asked.leverage} if asked.leverage is not None else {}),
        }
    )


def new_key() -> VenueKey:
    """Throw-away: nobody else ever had it."""
    return VenueKey(api_key=secrets.token_hex(32), api_secret=secrets.token_hex(32))


def _made_name(layout: Layout, dataset: DatasetId, clock: Clock) -> VenueId:
    stamp = iso(clock.now_ns())[:19].replace("-", "").replace(":", "").replace("T", "-")
    plain = VenueId(f"{stamp}-{dataset}"[:58].rstrip("."))
    return VenueId(f"{plain}-{secrets.token_hex(2)}") if layout.venue(plain).exists() else plain


def serve(
    plan: VenuePlan,
    goes_on: bool,
    clock: Clock,
    on_signal: Callable[[Callable[[int], None]], None],
    audience: VenueObserver,
    clean: Callable[[str], str],
) -> VenueProgress | None:
    """Serve until the child ends. on_signal: given what to call when a signal comes. How far it came.

    Raises what the venue refused to serve for; Environment when it died.
    """
    folder = Path(plan.ledger)
    with writing("make the venue's folder"):
        make_folder(folder)
    child = ChildProcess("venue", plan, folder / LOG, clock, VENUE_COMMAND)
    on_signal(child.stop)
    ended: VenueProgress | None = None
    refused: dict[str, Any] | None = None
    try:
        for frames in child.frames():
            for frame in frames:
                if "listening" in frame:
                    audience.listening(plan.name, VenueEndpoints.model_validate(frame["listening"]), goes_on)
                elif "progress" in frame:
                    audience.progress(VenueProgress.model_validate(frame["progress"]))
                elif "log" in frame:
                    audience.log(frame["log"].pop("event"), frame["log"])
                elif "refused" in frame:
                    refused = frame["refused"]
                elif "ended" in frame:
                    ended = VenueProgress.model_validate(frame["ended"])
    except BaseException:
        child.stop()
        raise
    finally:
        on_signal(lambda _count: None)
        child.close()
    if refused:
        raise _refusal(refused)
    failure = child.failure(clean)
    if failure:
        raise Environment(failure.message, hint=f"what it printed is in {folder / LOG}; the account is in its ledger")
    return ended


def _refusal(refused: dict[str, Any]) -> LabError:
    kinds: dict[int, type[LabError]] = {2: Usage, 5: Environment, 6: Corrupt}
    return kinds.get(refused["exit_code"], Environment)(refused["message"], hint=refused["hint"])


def audit_venue(layout: Layout, name: str) -> Audit:
    """Prove from the ledger alone that no money and no quantity came from nowhere.

    name: of a venue, or of a paper run, whose ledger is in its folder once it has ended. Raises NotFound, Corrupt.
    """
    folder = _ledger_folder(layout, VenueId(name))
    return audit(_events(transaction.number, transaction.events) for transaction in read_ledger(folder, name))


def _ledger_folder(layout: Layout, venue: VenueId) -> Path:
    folder = layout.venue(venue)
    if read_venue(folder) is not None:
        return folder
    kept = layout.run(RunId(venue)) / VENUE_FOLDER
    if kept.is_dir():
        return kept
    close = nearest(venue, folder_names(layout.venues))
    guess = f" (did you mean {', '.join(close)}?)" if close else ""
    raise NotFound(f"venue {venue} not found{guess}", hint="tc venue serve --name NAME makes one; a paper run has one")


def _events(line: int, events: tuple[dict[str, Any], ...]) -> list[LedgerEvent]:
    try:
        return [event_of(event) for event in events]
    except ValueError:
        raise Corrupt(f"the venue's ledger, line {line}: holds what is no event") from None

"""A paper run that its control did not bring to its end: settled with what the venue's ledger and the journal say.

Everything here may be broken off at any step and done again: the venue's folder goes when the run's own has a copy of
the ledger and the results made from it, and the journal hears of it last.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from opslab.errors import Environment, InvalidSpec
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.engine_messages import BARS, StopReason
from opslab.model.messages.venue_messages import FLATTEN_TIMEOUT_SECONDS, ORPHAN_SECONDS
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.model.run.metadata import RunMetadata, ScenarioCounters
from opslab.model.run.paper_summary import AccountFacts, StopFacts
from opslab.model.spec.run_spec import PaperLimits, PaperSpec
from opslab.resources import exchange_info_symbol
from opslab.runs.paper.closing_event import action_count, bound_reached, closing_payload
from opslab.runs.paper.journal_summary import JournalSummary, summarize
from opslab.runs.paper.results import PaperCounts, ledger_events, told_in_journal, write_results
from opslab.runs.processes.venue_folder import drop_venue, is_venue_running, keep_venue, run_venue_folder
from opslab.specs.load import load_spec
from opslab.store.files import file_digest, remove_folder
from opslab.store.layout import Layout
from opslab.store.runs.engine_order_log import EngineOrders, is_sound
from opslab.store.runs.journal import read_events
from opslab.store.runs.run_folders import SPEC, count_rows
from opslab.store.venues.ledger import NAME as LEDGER
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER, VENUE_LOG_NAME
from opslab.venue.account.account import Account
from opslab.venue.control.orphan_policy import FINAL_UPDATE_SECONDS, FLATTEN_ATTEMPTS, FLATTEN_RETRY_SECONDS

OUTLIVES_SECONDS = (
    ORPHAN_SECONDS + FLATTEN_ATTEMPTS * (FLATTEN_TIMEOUT_SECONDS + FLATTEN_RETRY_SECONDS) + FINAL_UPDATE_SECONDS
)
"""How long at most a venue is there when its control is gone: until its clients are, and then to flatten."""


@dataclass(frozen=True, slots=True)
class Settled:
    payload: dict[str, Any]
    """Of the closing event, without how the run ended."""
    account: AccountFacts | None
    """None: nobody can say how it was left."""
    account_text: str
    """The same, for people."""


def refuse_while_served(layout: Layout, run_id: RunId) -> None:
    """Raises Environment while the run's venue is there: it sees to the account, and its ledger may still grow."""
    if run_venue_folder(layout, run_id) and is_venue_running(layout, run_id):
        brief = "its venue still lives, to see that the account is left as on_stop wants it"
        raise Environment(
            f"run {run_id}: {brief}",
            brief=brief,
            hint=f"try again: it ends by itself, at the latest {OUTLIVES_SECONDS:.0f} s after its tc",
        )


def settle_paper(
    layout: Layout,
    folder: Path,
    metadata: RunMetadata,
    redact: Callable[[str], str],
    *,
    reason: StopReason,
    same_boot: bool,
) -> Settled:
    """Make the results, and put the venue away. The caller owns the run, has tidied it, and tells the journal.

    why: the run came to its end, if it was not on its way there. same_boot: whether the machine has been up since the
    run began: a scratch file may be torn, or behind the journal, when it went down.
    Raises Environment while the venue is served, Corrupt when its ledger is broken.
    """
    run_id = RunId(folder.name)
    refuse_while_served(layout, run_id)
    venue = run_venue_folder(layout, run_id)
    if venue:
        keep_venue(venue, folder, redact)
    spec = _spec(folder)
    told = summarize(read_events(folder))
    bars_seen = count_rows(folder, BARS)
    counters, denials = ScenarioCounters(bars_seen=bars_seen), dict[str, int]()
    artifacts: dict[str, str] = {}
    counts: PaperCounts | None = None
    if (folder / VENUE_FOLDER / LEDGER).is_file():
        reliable = same_boot or (spec is not None and not spec.observability.journal)  # else there is no more anyway
        with _told_orders(layout, run_id, folder, reliable=reliable) as orders:
            instrument = instrument_of(exchange_info_symbol(metadata.instrument))
            counts, artifacts = write_results(folder, orders, instrument)
        counters = counts.counters(bars_seen=bars_seen, actions=action_count(told.actions, counts, metadata.strategy))
        denials = counts.denial_reasons
    if (folder / f"{BARS}.jsonl").is_file():
        artifacts[f"{BARS}.jsonl"] = file_digest(folder / f"{BARS}.jsonl")
    drop_venue(layout, run_id)
    account = _account(folder)
    bars_expected = metadata.dataset.rows if metadata.dataset else 0
    summary = told.summary(
        bars_expected=bars_expected,
        bars_seen=bars_seen,
        account=account,
        stop=_stop(folder, told, spec.paper, bars_expected, account, reason) if spec else None,
        counts=counts,
    )
    payload = closing_payload(
        folder,
        counters,
        denials,
        artifacts,
        summary,
        elapsed_seconds=told.elapsed_seconds,
        peak_memory_bytes=told.peak_memory_bytes,
        metrics=spec is None or spec.observability.metrics,
    )
    return Settled(payload, account, _left(account, told, spec))


def put_away(layout: Layout, folder: Path, redact: Callable[[str], str]) -> None:
    """What is left of the venue of a run that has told its end. Raises Environment while it is served."""
    run_id = RunId(folder.name)
    refuse_while_served(layout, run_id)
    venue = run_venue_folder(layout, run_id)
    if venue:
        keep_venue(venue, folder, redact)
    drop_venue(layout, run_id)


def _spec(folder: Path) -> PaperSpec | None:
    """None when it cannot be read any more: it was when the run began."""
    try:
        spec = load_spec(folder / SPEC).spec
    except (InvalidSpec, Environment):
        return None
    return spec if isinstance(spec, PaperSpec) else None


def _told_orders(layout: Layout, run_id: RunId, folder: Path, *, reliable: bool) -> EngineOrders:
    """What the engines told of their orders: as control kept it, else as the journal has it."""
    work = layout.work(run_id)
    if reliable and is_sound(work):
        return EngineOrders(work)
    remove_folder(work)
    orders = EngineOrders(work)
    told_in_journal(folder, orders)
    return orders


def _account(folder: Path) -> AccountFacts | None:
    """As the ledger has it. Raises Corrupt."""
    if not (folder / VENUE_FOLDER / LEDGER).is_file():
        return None
    account = Account.replay(ledger_events(folder / VENUE_FOLDER))
    position = account.holding.position
    return AccountFacts(
        open_orders=len(account.open),
        position=f"{position:f}",
        flat=not account.open and not position,
        source="ledger",
    )


def _stop(
    folder: Path, told: JournalSummary, limits: PaperLimits, rows: int, account: AccountFacts | None, reason: StopReason
) -> StopFacts:
    """why: where the journal says nothing of one."""
    gate_why = bound_reached(limits, rows) if told.gate_why == "last_bar" else told.gate_why
    seconds_to_flat = told.seconds_to_flat
    if seconds_to_flat is None and account and account.flat:
        seconds_to_flat = _alone_seconds(folder)
    return StopFacts(
        reason=told.stopping_why or gate_why or reason,
        on_stop=limits.on_stop,
        seconds_to_gate=told.seconds_to_gate,
        seconds_to_flat=seconds_to_flat,
    )


def _alone_seconds(folder: Path) -> float | None:
    """From the death of control, as the venue noticed it, to the account's last change. None: it noticed none."""
    gone_s: float | None = None
    with suppress(OSError, ValueError), open(folder / VENUE_LOG_NAME, "rb") as stream:
        for line in stream:
            if b'"control is gone"' in line:
                gone_s = parse_iso(from_json(line)["time"]) / NS_PER_SECOND
    if gone_s is None:
        return None
    last_s = max((parse_iso(one.time) / NS_PER_SECOND for one in read_ledger(folder / VENUE_FOLDER)), default=gone_s)
    return round(max(0.0, last_s - gone_s), 3)


def _left(account: AccountFacts | None, told: JournalSummary, spec: PaperSpec | None) -> str:
    if account is None:
        if told.venue_listened:
            return "the ledger of its venue is gone, and nobody can say how the account was left"
        return "its venue was never there"
    if account.flat:
        return "the account is flat"
    left = f"the account has position {account.position} and {account.open_orders} open orders"
    wanted = spec is not None and spec.paper.on_stop == "leave"
    return f"{left}, as on_stop wants" if wanted else f"{left}: its venue died, too, before it could end them"

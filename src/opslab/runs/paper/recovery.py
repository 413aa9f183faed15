"""Settle a paper run whose control died, from the venue's ledger and the journal.

Every step can be interrupted and repeated: the venue's folder is removed only when the run's folder has a copy of the
ledger and the results made from it, and the journal is written last.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import from_json

from opslab.errors import Environment, InvalidSpec
from opslab.model.journal.run_events import RunResults
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.engine_messages import BARS, DEFAULT_LOG_LEVEL, StopReason
from opslab.model.messages.venue_messages import FLATTEN_TIMEOUT_SECONDS, ORPHAN_SECONDS
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.model.run.metadata import RunMetadata, ScenarioCounters
from opslab.model.run.paper_summary import AccountFacts, StopFacts
from opslab.model.spec.run_spec import PaperLimits, PaperSpec
from opslab.resources import exchange_info_symbol
from opslab.runs.paper.closing_event import PaperResults, action_count, closing_results, engine_cost, recorded_reason
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.runs.paper.counts.venue_log_fold import add_logged_events
from opslab.runs.paper.journal_summary import JournalSummary, summarize_journal
from opslab.runs.paper.ledger_account import account_from_ledger
from opslab.runs.paper.results import orders_from_journal, write_results
from opslab.runs.processes.engine_log import count_stored
from opslab.runs.processes.venue_folder import copy_venue_files, is_venue_running, remove_run_venue, run_venue_folder
from opslab.runs.record.run_journal import write_metrics
from opslab.specs.load import load_spec
from opslab.store.files import file_digest, remove_folder
from opslab.store.layout import Layout
from opslab.store.runs.engine_order_log import EngineOrderLog, is_intact
from opslab.store.runs.run_folders import SPEC, count_rows
from opslab.store.venues.ledger import NAME as LEDGER
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER, VENUE_LOG_NAME
from opslab.venue.control.orphan_policy import FINAL_UPDATE_SECONDS, FLATTEN_ATTEMPTS, FLATTEN_RETRY_SECONDS
from opslab.venue.event_log import CONTROL_LOST

MAX_ORPHAN_SECONDS = (
    ORPHAN_SECONDS + FLATTEN_ATTEMPTS * (FLATTEN_TIMEOUT_SECONDS + FLATTEN_RETRY_SECONDS) + FINAL_UPDATE_SECONDS
)
"""Longest time a venue runs after the death of its control: until its clients have left, then to flatten."""


@dataclass(frozen=True, slots=True)
class SettledRun:
    results: RunResults
    """For the closing event."""
    account: AccountFacts | None
    """None: the final account is unknown."""
    account_text: str
    """The account as text."""


def refuse_while_venue_runs(layout: Layout, run_id: RunId) -> None:
    """Raises Environment while the run's venue runs: it applies `on_stop`, and its ledger may still grow."""
    if run_venue_folder(layout, run_id) and is_venue_running(layout, run_id):
        brief = "its venue still runs, to apply on_stop to the account"
        raise Environment(
            f"run {run_id}: {brief}",
            brief=brief,
            hint=f"try again: it ends by itself, at most {MAX_ORPHAN_SECONDS:.0f} s after its tc",
        )


def settle_paper(
    layout: Layout,
    folder: Path,
    metadata: RunMetadata,
    redact: Callable[[str], str],
    *,
    reason: StopReason,
    same_boot: bool,
) -> SettledRun:
    """Write the results and remove the venue's folder. The caller owns the run, has tidied it, and appends the event.

    reason: for a run that had no stop reason yet. same_boot: whether the machine has been up since the run began; after
    a reboot a scratch file may be torn or older than the journal.
    Raises Environment while the venue runs, Corrupt when its ledger is broken.
    """
    run_id = RunId(folder.name)
    refuse_while_venue_runs(layout, run_id)
    venue = run_venue_folder(layout, run_id)
    if venue:
        copy_venue_files(venue, folder, redact)
    spec = _spec(folder)
    journaled = _journaled(folder)
    bars_seen = count_rows(folder, BARS)
    counts: PaperCounts | None = None
    # Without order events in the journal there is no other source.
    reliable = same_boot or (spec is not None and not spec.observability.journal)
    with _reported_orders(layout, run_id, folder, reliable=reliable) as orders:
        reported = PaperCounts(reported=orders.counters())
        if (folder / VENUE_FOLDER / LEDGER).is_file():
            instrument = instrument_of(exchange_info_symbol(metadata.instrument))
            counts, artifacts = write_results(folder, orders, instrument)
    if counts is None:
        paper_results = PaperResults(ScenarioCounters(bars_seen=bars_seen), reported, gated=journaled.gated)
    else:
        actions = action_count(journaled.actions, counts, metadata.strategy)
        counters = counts.counters(bars_seen=bars_seen, actions=actions)
        paper_results = PaperResults(counters, counts, artifacts, journaled.gated)
    if (folder / f"{BARS}.jsonl").is_file():
        paper_results.artifacts[f"{BARS}.jsonl"] = file_digest(folder / f"{BARS}.jsonl")
    remove_run_venue(layout, run_id)
    account = account_from_ledger(folder / VENUE_FOLDER)
    bars_expected = metadata.dataset.rows if metadata.dataset else 0
    summary = journaled.summary(
        bars_expected=bars_expected,
        bars_seen=bars_seen,
        account=account,
        stop=_stop(folder, journaled, spec.paper, bars_expected, account, reason) if spec else None,
        counts=counts,
    )
    cost = engine_cost(journaled.elapsed_seconds, bars_seen, journaled.heartbeats.peak_memory_bytes)
    log = count_stored(folder / "logs", spec.observability.log if spec else DEFAULT_LOG_LEVEL, redact)
    results = closing_results(paper_results, summary, cost, log, metadata.dataset)
    if spec is None or spec.observability.metrics:
        write_metrics(folder, results)
    return SettledRun(results, account, _account_text(account, journaled, spec))


def _journaled(folder: Path) -> JournalSummary:
    """With the faults and margin calls that only the venue's log has."""
    summary = summarize_journal(folder)
    if summary.last_venue:
        add_logged_events(folder, summary.faults, summary.margin_calls, *summary.last_venue)
    return summary


def copy_leftover_venue(layout: Layout, folder: Path, redact: Callable[[str], str]) -> None:
    """Of a run that has its closing event: copy the files of its venue that remains, and remove the venue.

    Raises Environment while the venue runs.
    """
    run_id = RunId(folder.name)
    refuse_while_venue_runs(layout, run_id)
    venue = run_venue_folder(layout, run_id)
    if venue:
        copy_venue_files(venue, folder, redact)
    remove_run_venue(layout, run_id)


def _spec(folder: Path) -> PaperSpec | None:
    """None when the stored spec can no longer be read."""
    try:
        spec = load_spec(folder / SPEC).spec
    except (InvalidSpec, Environment):
        return None
    return spec if isinstance(spec, PaperSpec) else None


def _reported_orders(layout: Layout, run_id: RunId, folder: Path, *, reliable: bool) -> EngineOrderLog:
    """Orders as the engines reported them: from control's scratch file, else from the journal."""
    work = layout.work(run_id)
    if reliable and is_intact(work):
        return EngineOrderLog(work)
    remove_folder(work)
    orders = EngineOrderLog(work)
    orders_from_journal(folder, orders)
    return orders


def _stop(
    folder: Path,
    summary: JournalSummary,
    limits: PaperLimits,
    rows: int,
    account: AccountFacts | None,
    reason: StopReason,
) -> StopFacts:
    """reason: used when the journal has none."""
    gate_reason = summary.gate_reason and recorded_reason(summary.gate_reason, limits, rows)
    stop = summary.stop(summary.stop_reason or gate_reason or reason, limits.on_stop)
    if stop.seconds_to_flat is None and account and account.flat:
        stop = stop.model_copy(update={"seconds_to_flat": _seconds_to_flat_without_control(folder)})
    return stop


def _seconds_to_flat_without_control(folder: Path) -> float | None:
    """From the venue's `control_lost` event to the last change of the account. None without that event."""
    lost_s: float | None = None
    with suppress(OSError, ValueError), open(folder / VENUE_LOG_NAME, "rb") as stream:
        for line in stream:
            event = from_json(line)
            if event["event"] == CONTROL_LOST:
                lost_s = parse_iso(event["time"]) / NS_PER_SECOND
    if lost_s is None:
        return None
    last_s = max(
        (parse_iso(entry.time) / NS_PER_SECOND for entry in read_ledger(folder / VENUE_FOLDER)), default=lost_s
    )
    return round(max(0.0, last_s - lost_s), 3)


def _account_text(account: AccountFacts | None, summary: JournalSummary, spec: PaperSpec | None) -> str:
    if account is None:
        if summary.venue_started:
            return "the ledger of its venue is missing: the final account is unknown"
        return "its venue never started"
    if account.flat:
        return "the account is flat"
    text = f"the account has position {account.position} and {account.open_orders} open orders"
    is_wanted = spec is not None and spec.paper.on_stop == "leave"
    return f"{text}, as on_stop requires" if is_wanted else f"{text}: its venue died before it could close them"

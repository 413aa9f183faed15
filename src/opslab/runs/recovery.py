"""Settle a run without an owner: write its end, seal what exists. A run with a living owner is never touched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from opslab.context import Context
from opslab.errors import Corrupt, Environment, InvalidSpec, LabError, Unwritable
from opslab.model.checks.check_kind import CHECKS, last_artifact
from opslab.model.journal.engine_events import SubscriptionUnserved
from opslab.model.journal.journal_event import by_name
from opslab.model.journal.run_events import RunHalted, RunInterrupted, RunResults
from opslab.model.messages.engine_messages import DEFAULT_LOG_LEVEL
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.model.primitives.record import Record
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import FINAL, RunMetadata
from opslab.model.spec.run_spec import RunSpec
from opslab.ports import Clock, Processes
from opslab.runs.paper.recovery import SettledRun, copy_leftover_venue, refuse_while_venue_runs, settle_paper
from opslab.runs.processes.engine_log import count_stored
from opslab.runs.record.journal_events import decoded
from opslab.runs.record.owners import refuse_unless_gone
from opslab.runs.record.report import write_reports
from opslab.runs.record.run_journal import RunJournal, metrics_document, seal_run
from opslab.runs.record.state import read_state, refuse_cut_journal
from opslab.runs.record.subscription_fold import SubscriptionFold
from opslab.runs.record.verify import check_journal, refuse_changed
from opslab.runs.record.warnings import subscription_warnings, without_results
from opslab.runs.safety.flat_times import flat_times
from opslab.runs.safety.halt_summary import summarize_halt_in
from opslab.specs.load import load_spec
from opslab.store.files import file_digest, remove_file, remove_folder
from opslab.store.layout import Layout
from opslab.store.logs import redact_log
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import Journal, cut_torn_end, last_event, read_events
from opslab.store.runs.live_files import read_live, remove_live
from opslab.store.runs.owner import is_held, owned
from opslab.store.runs.run_folders import METRICS, SPEC, clear_temporary_files, write_metadata
from opslab.store.runs.seal import compare_to_seal, find_leftovers, read_manifest
from opslab.store.runs.unsealed_tail import UnsealedTail, unsealed_tail
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER

Action = Literal["settled", "sealed", "rendered", "unchanged", "refused", "unwritable", "unreadable"]


class Recovered(Record):
    """The action on one run and its reason."""

    run_id: str
    action: Action
    message: str


def recover(context: Context, run_id: RunId, gone_host: str | None) -> Recovered:
    """Settle one run.

    gone_host: a machine that is lost for good; its owners count as dead.
    Raises Environment when the owner lives or cannot be checked; Corrupt when journal or results are broken.
    """
    layout, clock, processes, redact = context.layout, context.clock, context.processes, context.redact
    folder = layout.run(run_id)
    result = _finished_recovery(folder)
    if result:
        return _remove_leftovers(layout, folder, result, clock)
    _refuse_unless_gone(read_state(folder), processes, gone_host)
    with owned(folder):
        result = _finished_recovery(folder)  # again under the lock: another process may have settled it
        if result:
            return result
        check_journal(folder)
        metadata = read_state(folder)
        is_paper = metadata.mode == "paper"
        if metadata.status == "running":
            if is_paper:
                refuse_while_venue_runs(layout, run_id)
            clear_temporary_files(folder)
            _remove_unrecorded_checks(folder, metadata)
            last_seen = _last_seen(layout, folder, metadata)  # of the owner; read before this process writes
            same_boot = metadata.owner is not None and metadata.owner.boot_id == processes.this_process().boot_id
            settled = (
                settle_paper(layout, folder, metadata, redact, reason="owner_gone", same_boot=same_boot)
                if is_paper
                else None
            )
            halt = _halt(folder, metadata, settled)
            results = settled.results if settled else _results_of_backtest(folder, metadata, redact)
            metadata = _settle(folder, metadata, clock, last_seen, results, halt)
            action: Action = "settled"
            account = f"; {settled.account_text}" if settled else ""
            message = f"its owner had died; {metadata.status}, last seen {metadata.ended_at}{account}"
        else:
            if is_paper:
                copy_leftover_venue(layout, folder, redact)
            clear_temporary_files(folder)
            _remove_unrecorded_checks(folder, metadata)
            _check_results(folder, metadata)
            write_metadata(folder, metadata)
            action, message = "sealed", f"it had ended as {metadata.status}, and its owner died before it was sealed"
        for log in sorted((folder / "logs").glob("*.log")):
            redact_log(log, redact)
        seal_run(folder, metadata, clock, reports=_wants_reports(folder), by="recover")
        _remove_scratch(layout, run_id)
    return Recovered(run_id=run_id, action=action, message=message)


def try_to_recover(context: Context, run_id: RunId, gone_host: str | None) -> tuple[Recovered, int]:
    """As `recover`, for one of many: the action, and the exit code of a single recovery."""
    try:
        return recover(context, run_id, gone_host), 0
    except Unwritable as error:
        return Recovered(run_id=run_id, action="unwritable", message=error.message), error.exit_code
    except Environment as error:
        return Recovered(run_id=run_id, action="refused", message=error.brief), error.exit_code
    except LabError as error:
        return Recovered(run_id=run_id, action="unreadable", message=error.brief), error.exit_code


def _finished_recovery(folder: Path) -> Recovered | None:
    metadata = read_state(folder)
    if metadata.status == "initialized":
        refuse_cut_journal(folder, metadata)
        kind = "a backtest" if metadata.mode == "backtest" else "a paper run"
        message = f"it was initialized and never started; {kind} with its spec continues it"
    elif read_manifest(folder) is None:
        return None
    elif metadata.status in FINAL:
        message = f"it ended as {metadata.status} and is sealed"
    else:
        problem = f"was cut: the run is sealed, and the journal stops at {metadata.status}"
        raise Corrupt(
            f"run {folder.name}: {JOURNAL} {problem}",
            file=JOURNAL,
            problem=problem,
            hint=f"tc run verify {folder.name}",
        )
    return Recovered(run_id=folder.name, action="unchanged", message=message)


def _remove_leftovers(layout: Layout, folder: Path, result: Recovered, clock: Clock) -> Recovered:
    """Remove what a process left that died while it rendered reports of a sealed run or wrote its next seal.

    Raises Corrupt when anything else differs from the seal: a changed run is not touched.
    """
    if read_manifest(folder) is None or is_held(folder):
        return result
    _remove_scratch(layout, RunId(folder.name))
    if not _has_leftovers(folder):
        return result
    with owned(folder):
        manifest = read_manifest(folder)  # read again under the lock: another process may have resealed
        leftovers = find_leftovers(folder, manifest) if manifest else {}
        if manifest is None or not leftovers:
            return result
        refuse_changed(folder, compare_to_seal(folder, manifest, lambda _size: None))
        tail = unsealed_tail(folder, manifest)
        if tail.torn:
            cut_torn_end(folder)
        recorded = {JOURNAL, *tail.artifacts}
        for name in leftovers:
            if name not in recorded:
                remove_file(folder / name)
        if tail.events:
            return _seal_tail(folder, clock, tail)
        if _wants_reports(folder):
            write_reports(folder, read_state(folder))
    message = "it is sealed; leftovers of a dead process were removed and the reports rendered"
    return result.model_copy(update={"action": "rendered", "message": message})


def _remove_scratch(layout: Layout, run_id: RunId) -> None:
    remove_folder(layout.work(run_id))
    remove_live(layout, run_id)


def _has_leftovers(folder: Path) -> bool:
    manifest = read_manifest(folder)
    return manifest is not None and bool(find_leftovers(folder, manifest))


def _seal_tail(folder: Path, clock: Clock, tail: UnsealedTail) -> Recovered:
    """Seal checks and acknowledgements that were recorded by a process that died before sealing."""
    check_journal(folder)
    metadata = read_state(folder)
    for kind in CHECKS:
        last = last_artifact(getattr(metadata, kind.section) or {})
        if last:
            _refuse_changed_file(folder, *last)
    write_metadata(folder, metadata)
    seal_run(folder, metadata, clock, reports=_wants_reports(folder), by="recover")
    count = len(tail.events)
    message = f"{count} later {tail.kinds if count > 1 else tail.kinds.removesuffix('s')} had not been sealed"
    return Recovered(run_id=folder.name, action="sealed", message=message)


def _refuse_unless_gone(metadata: RunMetadata, processes: Processes, gone_host: str | None) -> None:
    """Call before taking the lock, which would make this process the owner."""
    owner = metadata.owner
    if metadata.status != "running" or owner is None:
        return
    if processes.is_alive(owner, metadata.run_id):
        brief = f"is alive: process {owner.pid} on {owner.host} owns it"
        raise Environment(
            f"run {metadata.run_id} {brief}",
            brief=brief,
            hint="a living run is never taken over: stop it first, with Ctrl-C or SIGTERM",
        )
    refuse_unless_gone(metadata, processes.this_process(), gone_host)


def _last_seen(layout: Layout, folder: Path, metadata: RunMetadata) -> str | None:
    """Last known time at which the owner was alive."""
    last = last_event(folder)
    times = [last.time] if last else []
    live = read_live(layout, RunId(metadata.run_id))
    if live and live.owner == metadata.owner:
        times.append(live.heartbeat_at)
    return max(times, default=None)


def _settle(
    folder: Path,
    metadata: RunMetadata,
    clock: Clock,
    last_seen: str | None,
    results: RunResults,
    halt: HaltFacts | None,
) -> RunMetadata:
    """Record how the run ended and when its owner was last alive.

    halt: a halt was in progress; the run counts as halted if its account is flat, by whatever means.
    """
    with Journal(folder, clock) as journal:
        recovered_at = iso(clock.now_ns())
        event: RunHalted | RunInterrupted
        if halt and (halt.flat or metadata.mode == "backtest"):
            event = RunHalted(
                **results,
                halt=halt,
                result_digest=None,
                ended_by="kill_switch",
                ended_at=last_seen,
                recovered_at=recovered_at,
            )
        else:
            event = RunInterrupted(**results, ended_by="owner_gone", ended_at=last_seen, recovered_at=recovered_at)
            if halt:
                event = event.model_copy(update={"halt": halt})
        return RunJournal(folder, journal, metadata).append(event)


def _results_of_backtest(folder: Path, metadata: RunMetadata, redact: Callable[[str], str]) -> RunResults:
    """Its rows are partial files; its engine's log and its events count."""
    spec = _spec(folder)
    level = spec.observability.log if spec else DEFAULT_LOG_LEVEL
    results = without_results(metadata.dataset, count_stored(folder / "logs", level, redact))
    subscriptions = SubscriptionFold(is_counted=False)
    for recorded in decoded(folder, read_events(folder), by_name(SubscriptionUnserved)):
        if isinstance(recorded.event, SubscriptionUnserved):
            subscriptions.unserved(recorded.event)
    names = subscriptions.names()
    warnings = subscription_warnings(names["empty"], names["untruthful"])
    results["warnings"] = (*warnings, *results["warnings"])
    return results


def _halt(folder: Path, metadata: RunMetadata, settled: SettledRun | None) -> HaltFacts | None:
    """Summary of the halt during which control died; None: no halt was in progress."""
    if metadata.safety is None or metadata.safety.state != "active":
        return None
    halt_summary = summarize_halt_in(folder)
    account = settled.account if settled else None
    if account is None:
        return halt_summary.summary(None, flat=None)
    return halt_summary.summary(flat_times(read_ledger(folder / VENUE_FOLDER)), flat=account.flat)


def _remove_unrecorded_checks(folder: Path, metadata: RunMetadata) -> None:
    """Remove results of checks that were not recorded in the journal; their numbers follow the recorded ones."""
    for kind in CHECKS:
        last = last_artifact(getattr(metadata, kind.section) or {})
        number = kind.number_of(last[0]) if last else 0
        while (folder / kind.numbered(number + 1)).exists():
            number += 1
            remove_file(folder / kind.numbered(number))


def _check_results(folder: Path, metadata: RunMetadata) -> None:
    """Check result files against the digests of the closing event. Raises Corrupt."""
    for name, digest in metadata.artifacts.items():
        _refuse_changed_file(folder, name, digest)
    if metadata.metrics and (folder / METRICS).exists():
        try:
            is_same = json.loads((folder / METRICS).read_bytes()) == metrics_document(
                metadata.metrics, metadata.engine_cost, metadata.denial_reasons
            )
        except ValueError:
            is_same = False
        if not is_same:
            raise _changed(folder, METRICS)


def _refuse_changed_file(folder: Path, name: str, digest: str) -> None:
    path = folder / name
    if not path.is_file() or file_digest(path) != digest:
        raise _changed(folder, name)


def _changed(folder: Path, name: str) -> Corrupt:
    problem = "differs from what the run wrote; it is not sealed"
    return Corrupt(
        f"run {folder.name}: {name} {problem}", file=name, problem=problem, hint="docs/runbooks/artifact-health.md"
    )


def _wants_reports(folder: Path) -> bool:
    spec = _spec(folder)
    return spec is None or spec.observability.report


def _spec(folder: Path) -> RunSpec | None:
    """None: it cannot be read."""
    try:
        return load_spec(folder / SPEC).spec
    except (InvalidSpec, Environment):
        return None

"""A run whose owner is gone: settled in the journal, sealed with what there is. What lives is never touched."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from opslab.errors import Corrupt, Environment, InvalidSpec, LabError, Unwritable
from opslab.model.checks.check_kind import CHECKS, last_artifact
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.model.primitives.record import Record
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import FINAL, RunMetadata
from opslab.ports import Clock, Processes
from opslab.runs.paper.recovery import Settled, put_away, refuse_while_served, settle_paper
from opslab.runs.record.owners import refuse_unless_gone
from opslab.runs.record.report import write_reports
from opslab.runs.record.run_journal import RunJournal, finish, metrics_document
from opslab.runs.record.state import read_state, refuse_behind
from opslab.runs.record.verify import check_journal, refuse_changed
from opslab.runs.safety.flat_times import flat_times
from opslab.runs.safety.halt_summary import summarize_halt
from opslab.specs.load import load_spec
from opslab.store.files import file_digest, remove_file, remove_folder
from opslab.store.layout import Layout
from opslab.store.logs import scrub_log
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import Journal, cut_torn_end, last_event, read_events
from opslab.store.runs.live_files import read_live, remove_live
from opslab.store.runs.owner import is_held, owned
from opslab.store.runs.run_folders import METRICS, SPEC, tidy, write_metadata
from opslab.store.runs.seal import hold_against, left_behind, read_manifest
from opslab.store.runs.unsealed_tail import unsealed_tail
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER

Action = Literal["settled", "sealed", "rendered", "unchanged", "refused", "unwritable", "unreadable"]


class Recovered(Record):
    """What was done to one run, and why."""

    run_id: str
    action: Action
    message: str


def recover(
    layout: Layout,
    run_id: RunId,
    clock: Clock,
    processes: Processes,
    redact: Callable[[str], str],
    gone_host: str | None,
) -> Recovered:
    """Settle one run.

    clean: takes this machine's paths out of a text. gone_host: a machine that will not come back: its owners are gone.
    Raises Environment when it lives, or when nobody can tell; Corrupt when its journal or results are broken.
    """
    folder = layout.run(run_id)
    done = _needs_nothing(folder)
    if done:
        return _without_leftovers(layout, folder, done, clock)
    _refuse_unless_gone(read_state(folder), processes, gone_host)
    with owned(folder):
        done = _needs_nothing(folder)  # still: another may have been quicker
        if done:
            return done
        check_journal(folder)
        metadata = read_state(folder)
        is_paper = metadata.mode == "paper"
        if metadata.status == "running":
            if is_paper:
                refuse_while_served(layout, run_id)
            tidy(folder)
            _remove_untold(folder, metadata)
            last_sign = _last_sign(layout, folder, metadata)  # of its owner: who settles it writes, too
            same_boot = metadata.owner is not None and metadata.owner.boot_id == processes.me().boot_id
            settled = (
                settle_paper(layout, folder, metadata, redact, reason="owner_gone", same_boot=same_boot)
                if is_paper
                else None
            )
            halt = _halt(folder, metadata, settled)
            metadata = _settle(folder, metadata, clock, last_sign, settled.payload if settled else {}, halt)
            action: Action = "settled"
            account = f"; {settled.account_text}" if settled else ""
            message = f"its owner was gone; {metadata.status}, last sign of life {metadata.ended_at}{account}"
        else:
            if is_paper:
                put_away(layout, folder, redact)
            tidy(folder)
            _remove_untold(folder, metadata)
            _check_results(folder, metadata)
            write_metadata(folder, metadata)
            action, message = "sealed", f"it had ended as {metadata.status}, and its owner died before it was sealed"
        for log in sorted((folder / "logs").glob("*.log")):
            scrub_log(log, redact)
        finish(folder, metadata, clock, reports=_wants_reports(folder), by="recover")
        _remove_scratch(layout, run_id)
    return Recovered(run_id=run_id, action=action, message=message)


def try_to_recover(
    layout: Layout,
    run_id: RunId,
    clock: Clock,
    processes: Processes,
    redact: Callable[[str], str],
    gone_host: str | None,
) -> tuple[Recovered, int]:
    """As `recover`, for one of many: what was done, and the exit code that it alone would give."""
    try:
        return recover(layout, run_id, clock, processes, redact, gone_host), 0
    except Unwritable as error:
        return Recovered(run_id=run_id, action="unwritable", message=error.message), error.exit_code
    except Environment as error:
        return Recovered(run_id=run_id, action="refused", message=error.brief), error.exit_code
    except LabError as error:
        return Recovered(run_id=run_id, action="unreadable", message=error.brief), error.exit_code


def _needs_nothing(folder: Path) -> Recovered | None:
    metadata = read_state(folder)
    if metadata.status == "initialized":
        refuse_behind(folder, metadata)
        kind = "a backtest" if metadata.mode == "backtest" else "a paper run"
        message = f"it was initialized and never started; {kind} with its spec goes on from it"
    elif read_manifest(folder) is None:
        return None
    elif metadata.status in FINAL:
        message = f"it ended as {metadata.status} and is sealed"
    else:
        what = f"was cut: the run is sealed, and the journal stops at {metadata.status}"
        raise Corrupt(
            f"run {folder.name}: {JOURNAL} {what}", file=JOURNAL, what=what, hint=f"tc run verify {folder.name}"
        )
    return Recovered(run_id=folder.name, action="unchanged", message=message)


def _without_leftovers(layout: Layout, folder: Path, done: Recovered, clock: Clock) -> Recovered:
    """A process may have died over the reports of a sealed run, or over its next seal: that is cleared away.

    Raises Corrupt when anything else is not as it was sealed: a changed run is left as it is.
    """
    if read_manifest(folder) is None or is_held(folder):
        return done
    _remove_scratch(layout, RunId(folder.name))
    if not _has_leftovers(folder):
        return done
    with owned(folder):
        manifest = read_manifest(folder)  # not the one from before: another may have been quicker
        left = left_behind(folder, manifest) if manifest else {}
        if manifest is None or not left:
            return done
        refuse_changed(folder, hold_against(folder, manifest, lambda _size: None))
        behind = unsealed_tail(folder, manifest)
        if behind.torn:
            cut_torn_end(folder)
        kept = {JOURNAL, *(str(check.payload["artifact"]) for check in behind.checks)}
        for name in left:
            if name not in kept:
                remove_file(folder / name)
        if behind.checks:
            return _seal_checks(folder, clock, len(behind.checks))
        if _wants_reports(folder):
            write_reports(folder, read_state(folder))
    message = "it is sealed; what a process that died left is gone, and the reports are rendered"
    return done.model_copy(update={"action": "rendered", "message": message})


def _remove_scratch(layout: Layout, run_id: RunId) -> None:
    remove_folder(layout.work(run_id))
    remove_live(layout, run_id)


def _has_leftovers(folder: Path) -> bool:
    manifest = read_manifest(folder)
    return manifest is not None and bool(left_behind(folder, manifest))


def _seal_checks(folder: Path, clock: Clock, count: int) -> Recovered:
    """The last checks were kept, and their process died before it could seal them."""
    check_journal(folder)
    metadata = read_state(folder)
    for kind in CHECKS:
        last = last_artifact(getattr(metadata, kind.section) or {})
        if last:
            _refuse_other(folder, *last)
    write_metadata(folder, metadata)
    finish(folder, metadata, clock, reports=_wants_reports(folder), by="recover")
    message = f"{count} later check{'s' if count > 1 else ''} had not been sealed"
    return Recovered(run_id=folder.name, action="sealed", message=message)


def _refuse_unless_gone(metadata: RunMetadata, processes: Processes, gone_host: str | None) -> None:
    """Before the lock is taken: then it would be ours that is seen."""
    owner = metadata.owner
    if metadata.status != "running" or owner is None:
        return
    if processes.is_alive(owner, metadata.run_id):
        brief = f"is alive: process {owner.pid} on {owner.host} owns it"
        raise Environment(
            f"run {metadata.run_id} {brief}",
            brief=brief,
            hint="what lives is never taken over: stop it first, with Ctrl-C or SIGTERM",
        )
    refuse_unless_gone(metadata, processes.me(), gone_host)


def _last_sign(layout: Layout, folder: Path, metadata: RunMetadata) -> str | None:
    """When its owner was last alive, as far as anybody knows."""
    last = last_event(folder)
    signs = [last.time] if last else []
    live = read_live(layout, RunId(metadata.run_id))
    if live and live.owner == metadata.owner:
        signs.append(live.heartbeat_at)
    return max(signs, default=None)


def _settle(
    folder: Path,
    metadata: RunMetadata,
    clock: Clock,
    last_sign: str | None,
    more: Mapping[str, Any],
    halt: HaltFacts | None,
) -> RunMetadata:
    """Say in the journal how the run ended, and when it was last alive.

    halt: it was being halted; it was halted, if its account is flat: whoever did that, it trades no more.
    """
    how, by = "run_interrupted", "owner_gone"
    if halt:
        more = {**more, "halt": halt.model_dump(mode="json")}
        if halt.flat or metadata.mode == "backtest":
            how, by, more = "run_halted", "kill_switch", {**more, "result_digest": None}
    with Journal(folder, clock) as journal:
        times = {"ended_at": last_sign, "recovered_at": iso(clock.now_ns())}
        return RunJournal(folder, journal, metadata).tell(how, {**more, "ended_by": by, **times})


def _halt(folder: Path, metadata: RunMetadata, settled: Settled | None) -> HaltFacts | None:
    """What is known of the halt that its control died over; None: it was not being halted."""
    if metadata.safety is None or metadata.safety.state != "active":
        return None
    told_halt = summarize_halt(read_events(folder))
    account = settled.account if settled else None
    if account is None:
        return told_halt.facts(None, flat=None)
    return told_halt.facts(flat_times(read_ledger(folder / VENUE_FOLDER)), flat=account.flat)


def _remove_untold(folder: Path, metadata: RunMetadata) -> None:
    """Results of checks whose process died before the journal told of them: they come behind those that it tells of."""
    for kind in CHECKS:
        last = last_artifact(getattr(metadata, kind.section) or {})
        number = kind.number_of(last[0]) if last else 0
        while (folder / kind.numbered(number + 1)).exists():
            number += 1
            remove_file(folder / kind.numbered(number))


def _check_results(folder: Path, metadata: RunMetadata) -> None:
    """What the run said of its results when it ended must still hold. Raises Corrupt."""
    for name, digest in metadata.artifacts.items():
        _refuse_other(folder, name, digest)
    if metadata.metrics and (folder / METRICS).exists():
        try:
            same = json.loads((folder / METRICS).read_bytes()) == metrics_document(
                metadata.metrics.model_dump(),
                metadata.engine_cost.model_dump() if metadata.engine_cost else {},
                metadata.denial_reasons,
            )
        except ValueError:
            same = False
        if not same:
            raise _changed(folder, METRICS)


def _refuse_other(folder: Path, name: str, digest: str) -> None:
    path = folder / name
    if not path.is_file() or file_digest(path) != digest:
        raise _changed(folder, name)


def _changed(folder: Path, name: str) -> Corrupt:
    what = "is not what the run wrote; it is not sealed"
    return Corrupt(f"run {folder.name}: {name} {what}", file=name, what=what, hint="docs/runbooks/artifact-health.md")


def _wants_reports(folder: Path) -> bool:
    try:
        return load_spec(folder / SPEC).spec.observability.report
    except (InvalidSpec, Environment):
        return True

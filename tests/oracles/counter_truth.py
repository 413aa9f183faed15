"""Whether the counters of a run only grow: while it goes on, from the live file to the end, and in its journal."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

from opslab.model.journal.engine_events import ORDER_EVENTS, EngineOrderEvent
from opslab.model.run.metadata import RunMetadata
from opslab.model.run.run_counters import OrderCounters
from opslab.runs.paper.journal_summary import SUMMARIZED, JournalSummary
from opslab.runs.record.journal_events import decoded
from opslab.store.runs.engine_order_log import EngineOrderLog
from opslab.store.runs.journal import read_events
from tests.drivers.paper_run import PaperRun

_ENDINGS = ("run_completed", "run_failed", "run_interrupted", "run_halted")
_NO_COUNTERS = ("counters.faults_active", "counters.last_reconciliation_state", "counters.last_reconciliation_at")
_POLL_SECONDS = 0.02


def decreases(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Counters of one document that are lower in a later one; what the later one does not know is not lower."""
    then, now = dict(_flat(before)), dict(_flat(after))
    return [f"{name} fell from {value} to {now[name]}" for name, value in then.items() if now.get(name, value) < value]


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in document.items():
        name = f"{prefix}{key}"
        if name in _NO_COUNTERS or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            yield from _flat({str(number): each for number, each in enumerate(value)}, f"{name}.")
        else:
            yield name, value


def of_live(live: Mapping[str, Any]) -> dict[str, Any]:
    """The counters of a live file."""
    paper = live["paper"] or {}
    known = {name: live[name] for name in ("bars_seen", "actions", "orders")}
    return {**known, "counters": paper.get("counters", {})}


def of_end(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The counters of the metadata of a run that has ended, by the same names."""
    fields = {name: value for name, value in shown.items() if name in RunMetadata.model_fields}
    run = RunMetadata.model_validate(fields, strict=False)
    bars, actions = (run.metrics.bars_seen, run.metrics.deterministic_action_triggered) if run.metrics else (None, None)
    return {
        "bars_seen": bars,
        "actions": actions,
        "orders": run.orders.model_dump() if run.orders else {},
        "counters": run.paper.counters.model_dump() if run.paper else {},
    }


@contextmanager
def read_beside(run: PaperRun) -> Iterator[list[dict[str, Any]]]:
    """The live files that a run writes, read beside it until its process ends."""
    path = run.home / "runtime" / "live" / f"{run.run_id}.json"
    lives: list[dict[str, Any]] = []

    def read() -> None:
        while run.process.poll() is None:
            with suppress(FileNotFoundError):
                live = json.loads(path.read_bytes())
                if not lives or live != lives[-1]:
                    lives.append(live)
            time.sleep(_POLL_SECONDS)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    yield lives
    run.process.wait()
    reader.join()


def not_grown(lives: list[dict[str, Any]], shown: Mapping[str, Any]) -> list[str]:
    """What fell from one live file of a run to the next, or to its end."""
    documents = [*map(of_live, lives), of_end(shown)]
    return [found for before, after in pairwise(documents) for found in decreases(before, after)]


def wrong_counters(folder: Path, shown: Mapping[str, Any]) -> Iterator[str]:
    """Replay the journal of a paper run that has ended, event by event: nothing falls, and the end is not lower."""
    if shown["paper"] is None:
        return
    fold, reported = JournalSummary(), OrderCounters()
    before: dict[str, Any] = {}
    events = decoded(folder, read_events(folder), {**SUMMARIZED, **ORDER_EVENTS})
    with tempfile.TemporaryDirectory() as work, EngineOrderLog(Path(work)) as orders:
        for recorded in takewhile(lambda event: event.name not in _ENDINGS, events):
            if recorded.event is None:
                continue
            if isinstance(recorded.event, EngineOrderEvent):
                orders.order_event(recorded.event.payload())
            else:
                fold.apply(recorded)
            reported = orders.counters()
            now = {"orders": reported.model_dump(), "counters": fold.counters().model_dump()}
            yield from (f"{found}, line {recorded.seq}" for found in decreases(before, now))
            before = now
    yield from (f"{found} at the end" for found in decreases(before, of_end(shown)))
    yield from _wrong_orders(shown, reported)


def _wrong_orders(shown: Mapping[str, Any], reported: OrderCounters) -> Iterator[str]:
    """The orders by outcome are the counters of the results, or more where an engine reported more."""
    if not shown["metrics"] or not shown["orders"]:
        return
    of_results = {
        "submitted": "orders_submitted",
        "denied": "orders_denied",
        "rejected": "orders_rejected",
        "canceled": "orders_canceled",
        "fills": "fills_count",
    }
    for name, counter in of_results.items():
        expected = max(shown["metrics"][counter], getattr(reported, name))
        if shown["orders"][name] != expected:
            yield f"orders.{name} is {shown['orders'][name]}, not {expected}"

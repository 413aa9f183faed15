"""Check from a run's journal and ledger that a new engine of a paper run took over from the lost one."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from opslab.model.messages.ledger_events import Accepted, Filled, LedgerEvent, parse_event
from opslab.model.primitives.instant import NS_PER_MINUTE, NS_PER_MS, parse_iso
from tests.oracles.ledger_state import ledger_state
from tests.oracles.paper_truth import rows_of

Event = dict[str, Any]


def not_taken_over(folder: Path, events: Sequence[Event], lost: Event) -> list[str]:
    """Violations after the loss of an engine; empty when the new one took over. lost: its `engine_lost` event."""
    return [*_repeated(events), *_unreconciled(events, lost), *_unclaimed(folder, events, lost)]


def _repeated(events: Iterable[Event]) -> Iterator[str]:
    """Orders that were created again at the same bar."""
    orders = Counter(
        (order["bar_ns"], order["order_type"], order["order_side"], order.get("reduce_only", False))
        for order in _decisions(events)
    )
    for terms, count in orders.items():
        if count > 1:
            yield f"created {count} times: {terms}"


def _decisions(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Orders that a strategy created at a bar; without those found at the venue, and those that ended the run."""
    for event in events:
        order: dict[str, Any] = event["payload"]
        is_new = event["event"] == "order_event" and order["type"] == "OrderInitialized"
        if is_new and not order.get("reconciliation") and order.get("origin") != "on_stop" and "bar_ns" in order:
            yield order


def _unreconciled(events: Iterable[Event], lost: Event) -> Iterator[str]:
    later = (event for event in events if event["seq"] > lost["seq"])
    checks = [
        event["payload"]["state"]
        for event in takewhile(lambda event: event["event"] != "engine_lost", later)
        if event["event"] == "reconciliation_checked" and event["payload"].get("occasion") == "startup"
    ]
    if checks != ["ok"]:
        yield f"reconciliations after the loss of engine {lost['payload']['number']}: {checks}"


def _unclaimed(folder: Path, events: Iterable[Event], lost: Event) -> Iterator[str]:
    """Orders and position of the lost engine that the strategy did not end at the next odd minute, as it should.

    Empty when the strategy received no such bar any more.
    """
    minutes = _minutes_after(folder, events, lost)
    odd = next((minute for minute in minutes[:-2] if minute % 2), None)
    if odd is None:
        return
    until, lost_ms = odd + 2, parse_iso(lost["time"]) // NS_PER_MS
    ledger = list(_ledger(folder))
    before = ledger_state(event for _, event in ledger if event.time_ms <= lost_ms)
    then = ledger_state(event for minute, event in ledger if minute <= until)
    uncanceled = set(before.open) & set(then.open)
    if uncanceled:
        yield f"orders of the lost engine that were not canceled until minute {until}: {sorted(uncanceled)}"
    if before.position and minutes[0] == odd:  # otherwise it has opened in the other direction before
        later = [event for minute, event in ledger if event.time_ms > lost_ms and minute <= until]
        closes = {event.order_id for event in later if isinstance(event, Accepted) and event.reduce_only}
        ended = [event for event in later if isinstance(event, Filled) and not event.position]
        if not any(event.order_id in closes for event in ended):
            yield f"the position of the lost engine, {before.position}, was not closed until minute {until}"


def _minutes_after(folder: Path, events: Iterable[Event], lost: Event) -> list[int]:
    """Minutes of the bars that the strategy received after the loss, counted as in the ledger: the first candle is 0.

    The sample starts with an even minute, so that odd minutes are odd here too.
    """
    bars_before = sum(
        event["payload"]["bars"] for event in events if event["event"] == "engine_lost" and event["seq"] <= lost["seq"]
    )
    data = json.loads((folder / "metadata.json").read_text())["dataset"]
    first = parse_iso(data["first_open"]) // NS_PER_MINUTE
    return [row["ts_event"] // NS_PER_MINUTE - first for row in rows_of(folder, "bars")][bars_before:]


def _ledger(folder: Path) -> Iterator[tuple[int, LedgerEvent]]:
    """(minute of the replay, event)."""
    for line in (folder / "venue" / "ledger.jsonl").read_bytes().splitlines():
        transaction = json.loads(line)
        for event in transaction["events"]:
            yield transaction["minute"], parse_event(event)

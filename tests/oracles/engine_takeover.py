"""Whether a new engine of a paper run took over from the one that was lost: by the run's journal and its ledger."""

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
    """What does not hold behind the loss of an engine; empty when the new one took over. lost: its `engine_lost`."""
    return [*_repeated(events), *_unreconciled(events, lost), *_unclaimed(folder, events, lost)]


def _repeated(events: Iterable[Event]) -> Iterator[str]:
    """Orders that were made a second time at the same bar."""
    made = Counter(
        (told["bar_ns"], told["order_type"], told["order_side"], told.get("reduce_only", False))
        for told in _decisions(events)
    )
    for terms, count in made.items():
        if count > 1:
            yield f"made {count} times: {terms}"


def _decisions(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Orders that a strategy made at a bar; not what an engine found at the venue, or made to end the run."""
    for event in events:
        told: dict[str, Any] = event["payload"]
        is_made = event["event"] == "order_event" and told["type"] == "OrderInitialized"
        if is_made and not told.get("reconciliation") and told.get("origin") != "on_stop" and "bar_ns" in told:
            yield told


def _unreconciled(events: Iterable[Event], lost: Event) -> Iterator[str]:
    behind = (event for event in events if event["seq"] > lost["seq"])
    checks = [
        event["payload"]["state"]
        for event in takewhile(lambda event: event["event"] != "engine_lost", behind)
        if event["event"] == "reconciliation_checked" and event["payload"].get("occasion") == "startup"
    ]
    if checks != ["ok"]:
        yield f"behind the loss of engine {lost['payload']['number']} it was reconciled {checks}"


def _unclaimed(folder: Path, events: Iterable[Event], lost: Event) -> Iterator[str]:
    """What was open when the engine was lost, and that its strategy did not end at the next odd minute, as it should.

    Nothing is said where it was not given such a bar any more.
    """
    minutes = _minutes_behind(folder, events, lost)
    odd = next((minute for minute in minutes[:-2] if minute % 2), None)
    if odd is None:
        return
    until, lost_ms = odd + 2, parse_iso(lost["time"]) // NS_PER_MS
    ledger = list(_ledger(folder))
    before = ledger_state(event for _, event in ledger if event.time_ms <= lost_ms)
    then = ledger_state(event for minute, event in ledger if minute <= until)
    left = set(before.open) & set(then.open)
    if left:
        yield f"orders of the lost engine that nobody canceled until minute {until}: {sorted(left)}"
    if before.position and minutes[0] == odd:  # else it has opened the other way before
        behind = [event for minute, event in ledger if event.time_ms > lost_ms and minute <= until]
        closes = {event.order_id for event in behind if isinstance(event, Accepted) and event.reduce_only}
        ended = [event for event in behind if isinstance(event, Filled) and not event.position]
        if not any(event.order_id in closes for event in ended):
            yield f"the position of the lost engine, {before.position}, was not closed until minute {until}"


def _minutes_behind(folder: Path, events: Iterable[Event], lost: Event) -> list[int]:
    """Of the bars that the strategy was given behind the loss, counted as the ledger does: the first candle is 0.

    The sample begins with an even minute, so that odd ones are odd here, too.
    """
    seen_before = sum(
        event["payload"]["bars"] for event in events if event["event"] == "engine_lost" and event["seq"] <= lost["seq"]
    )
    data = json.loads((folder / "metadata.json").read_text())["dataset"]
    first = parse_iso(data["first_open"]) // NS_PER_MINUTE
    return [row["ts_event"] // NS_PER_MINUTE - first for row in rows_of(folder, "bars")][seen_before:]


def _ledger(folder: Path) -> Iterator[tuple[int, LedgerEvent]]:
    """With the minute at which the replay then was."""
    for line in (folder / "venue" / "ledger.jsonl").read_bytes().splitlines():
        transaction = json.loads(line)
        for event in transaction["events"]:
            yield transaction["minute"], parse_event(event)

"""Whether what a paper run says of itself is true: held against its venue's ledger, and against what is left of it."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any

from opslab.lab.context import context_of
from opslab.lab.run.verify import verify
from opslab.lab.venue.service import audit_venue
from opslab.model.journal.journal_event import Kinds, RecordedEvent
from opslab.model.messages.ledger_events import LedgerEvent, parse_event
from opslab.model.primitives.difference import differences
from opslab.model.primitives.ids import RunId
from opslab.model.run.paper_summary import PaperFacts
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.runs.paper.counts.venue_log_fold import add_logged_events
from opslab.runs.paper.journal_summary import SUMMARIZED as PAPER_EVENTS
from opslab.runs.paper.journal_summary import summarize
from opslab.runs.record.journal_events import decoded
from opslab.runs.safety.halt_summary import SUMMARIZED as HALT_EVENTS
from opslab.runs.safety.halt_summary import summarize_halt
from opslab.settings import Settings
from opslab.store.runs.journal import read_events
from tests.drivers.paper_run import END_SECONDS, PaperRun, living_in
from tests.drivers.tc import Tc
from tests.oracles.counter_truth import wrong_counters
from tests.oracles.journal_statuses import misplaced
from tests.oracles.ledger_state import LedgerState, ledger_state, plain
from tests.oracles.paper_rules import departures_in

ENDINGS = ("run_completed", "run_failed", "run_interrupted", "run_halted")
EXITS = {"failed": 1, "halted": 4, "interrupted": 130, "safety_blocked": 4}
FINALS = {"ok": 0, "warning": 0, "mismatch": 1, "unknown": 3}
FOLDED_OF_HALT = {
    "scope", "run_switch", "all_switch", "activated_at", "seen_at", "gate_closed_at", "seconds_to_gate", "orders_gated",
}  # fmt: skip
"""Fields of the halt record that the journal has; the others are from the ledger, and from control's memory."""
LEDGERS_WORDS = {"NEW": "ACCEPTED"}
"""Where the ledger's word for a status is not the engine's."""


def untruths(tc: Tc, run_id: str, code: int | None) -> list[str]:
    """What does not hold of a run that has ended; empty when all of it is true. code: with which `tc` ended."""
    return list(_untruths(tc, run_id, code))


def _untruths(tc: Tc, run_id: str, code: int | None) -> Iterator[str]:
    left = living_in(tc.home.resolve())
    if left:
        yield f"processes are left: {left}"
    for place in (f"venues/{run_id}", f"live/{run_id}.json", f"work/{run_id}"):
        if (tc.home / "runtime" / place).exists():
            yield f"runtime/{place} is left"
    context = context_of(Settings(tc.home, "--home"))
    verified = verify(context, RunId(run_id), lambda _bytes: None)
    if verified.verdict != "whole":
        yield f"verify says {verified.verdict}: {[finding.model_dump() for finding in verified.findings]}"
    folder = tc.run_folder(run_id)
    shown = json.loads((folder / "metadata.json").read_text())
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
    ends = [event["event"] for event in events if event["event"] in ENDINGS]
    if ends != [f"run_{shown['status']}"]:
        yield f"the journal tells the ends {ends}, and show says {shown['status']}"
    yield from _code(shown, code)
    yield from _facts(folder, shown)
    yield from wrong_counters(folder, shown)
    if shown["paper"] is not None and shown["recovered_at"] is None:
        yield from departures_in(folder)
    yield from _report(folder, shown)
    yield from _hidden(folder, tc.home)
    if not (folder / "venue" / "ledger.jsonl").exists():
        if any((folder / name).stat().st_size for name in ("orders.jsonl", "fills.jsonl") if (folder / name).exists()):
            yield "there are results, and no ledger"
        return
    audit = audit_venue(context.layout, run_id)
    if not audit.proven:
        yield f"audit: {audit.findings}"
    stands = ledger_of(folder)
    yield from _rows(folder, stands)
    yield from _told(events, stands)
    yield from misplaced(events)
    yield from _account(folder, shown, stands)


OWN_PREFIXES = ("x-aHRE4BCj-", "opslab-flatten-")
"""Of the client order ids of an engine's orders and of the lab's."""


def ledger_of(folder: Path) -> LedgerState:
    """What the ledger in a run's folder comes to."""
    return ledger_state(_ledger(folder))


def _ledger(folder: Path) -> Iterator[LedgerEvent]:
    for line in (folder / "venue" / "ledger.jsonl").read_bytes().splitlines():
        yield from map(parse_event, json.loads(line)["events"])


def _facts(folder: Path, shown: dict[str, Any]) -> Iterator[str]:
    """The facts are the fold of the journal, whether a living control fed it or recovery did."""
    if shown["paper"] is None:
        return
    facts = PaperFacts.model_validate(shown["paper"], strict=False)
    fold = summarize(_before_the_end(folder, PAPER_EVENTS))
    if fold.last_venue:
        add_logged_events(folder, fold.faults, fold.margin_calls, *fold.last_venue)
    counts = PaperCounts(
        unknown=facts.orders_unknown or 0,
        lost=facts.orders_lost or 0,
        first_lost=facts.first_lost_order,
        by_venue=facts.orders_by_venue or 0,
        external=facts.orders_external or 0,
        external_fills=facts.fills_external or 0,
        first_external=facts.first_external_order,
        forced_closes=facts.forced_closes or {},
        first_forced_close=facts.first_forced_close,
    )
    folded = fold.summary(
        bars_expected=facts.bars_expected,
        bars_seen=facts.bars_seen or 0,
        bars_missed=facts.bars_missed,
        account=facts.final_account,
        stop=facts.stop,
        counts=None if facts.orders_unknown is None else counts,
    )
    found = differences(folded.model_dump(mode="json"), facts.model_dump(mode="json"))
    if found:
        yield f"the journal folds to other facts: {[one.model_dump() for one in found]}"
    if any(shown["denial_reasons"].get(reason) != number for reason, number in fold.gated.items()):
        yield f"gates denied {dict(fold.gated)}, denial reasons are {shown['denial_reasons']}"
    if shown["halt"]:
        halt = summarize_halt(_before_the_end(folder, HALT_EVENTS))
        of_halt = halt.summary(None, flat=None)
        assert of_halt is not None
        recorded = {name: shown["halt"][name] for name in FOLDED_OF_HALT}
        if of_halt.model_dump(include=FOLDED_OF_HALT) != recorded:
            yield f"the journal folds to another halt: {of_halt}, not {recorded}"
    if facts.stop and shown["recovered_at"] is None:
        stop = fold.stop(facts.stop.reason, facts.stop.on_stop)
        if stop != facts.stop:
            yield f"the journal folds to another end: {stop}, not {facts.stop}"


def _before_the_end(folder: Path, kinds: Kinds) -> Iterator[RecordedEvent]:
    events = decoded(folder, read_events(folder), kinds)
    return takewhile(lambda event: event.name not in ENDINGS, events)


def _code(shown: dict[str, Any], code: int | None) -> Iterator[str]:
    if code is None:
        return
    final = (shown.get("paper") or {}).get("final_reconciliation")
    wanted = FINALS[final] if shown["status"] == "completed" and final else EXITS.get(shown["status"], 0)
    if code != wanted:
        yield f"exit {code} of a run that is {shown['status']}, its last reconciliation {final}"


def _report(folder: Path, shown: dict[str, Any]) -> Iterator[str]:
    text = (folder / "report.md").read_text().replace("\\", "")
    for what in (shown["status"], shown["ended_by"], (shown["failure"] or {}).get("message")):
        if what and what.splitlines()[0] not in text:
            yield f"the report does not say {what}"


def _hidden(folder: Path, home: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.name.startswith("."):
            yield f"temporary: {path.name}"
        if path.is_file() and str(home.resolve()).encode() in path.read_bytes():
            yield f"{path.name} names a folder of this machine"


LOST = frozenset({"SUBMITTED", "PENDING_CANCEL", "PENDING_UPDATE"})
"""Last status of an order that its engine submitted, and that the venue never received."""


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def _rows(folder: Path, stands: LedgerState) -> Iterator[str]:
    """Nothing lost, nothing invented: the rows are the ledger's, and what never came there says so."""
    fills = [
        (int(row["trade_id"]), int(row["venue_order_id"]), Decimal(row["last_px"]), Decimal(row["last_qty"]))
        for row in rows_of(folder, "fills")
    ]
    theirs = [(number, one.order_id, one.price, one.quantity) for number, one in stands.trades.items()]
    if fills != theirs:
        yield f"fills {fills[-3:]}, the ledger has {theirs[-3:]}"
    orders = rows_of(folder, "orders")
    ours = {
        int(row["venue_order_id"]): (row["status"], Decimal(row["filled_qty"]))
        for row in orders
        if row["venue_order_id"] is not None
    }
    known = {
        number: (LEDGERS_WORDS.get(one["status"], one["status"]), one["filled"])
        for number, one in stands.orders.items()
    }
    for number in ours.keys() | known.keys():
        if ours.get(number) != known.get(number):
            yield f"order {number} is {ours.get(number)}, in the ledger {known.get(number)}"
    never = Counter(row["status"] for row in orders if row["venue_order_id"] is None)
    if set(never) - {"DENIED", "REJECTED", "INITIALIZED", "EMULATED", *LOST}:
        yield f"orders without a number are {dict(never)}"
    ids = [row["client_order_id"] for row in orders]
    if len(ids) != len(set(ids)):
        yield "an order has two rows"


def _told(events: list[dict[str, Any]], stands: LedgerState) -> Iterator[str]:
    """Whatever an engine was told of its orders is in the ledger."""
    names = {plain(one["client_order_id"]) for one in stands.orders.values()}
    for event in events:
        told = event["payload"]
        if event["event"] != "order_event" or told["type"] not in ("OrderAccepted", "OrderFilled", "OrderCanceled"):
            continue
        number = str(told.get("venue_order_id") or "")
        if told["client_order_id"] not in names and not (number.isdigit() and int(number) in stands.orders):
            yield f"an engine was told {told['type']} of {told['client_order_id']}, which the ledger does not have"


def _account(folder: Path, shown: dict[str, Any], stands: LedgerState) -> Iterator[str]:
    counters = shown["metrics"]
    kept = next((name for name in ("bars", "partial-bars") if (folder / f"{name}.jsonl").exists()), None)
    bars = {row["ts_event"] for row in rows_of(folder, kept)} if kept else set()
    if counters and counters["bars_seen"] != len(bars):
        yield f"bars_seen is {counters['bars_seen']}, and bars.jsonl has {len(bars)}"
    external = {number for number, one in stands.orders.items() if not one["client_order_id"].startswith(OWN_PREFIXES)}
    own = [one for number, one in stands.orders.items() if number not in external]
    canceled = sum(1 for one in own if one["status"] == "CANCELED")
    fills = sum(1 for one in stands.trades.values() if one.order_id not in external)
    if counters and (counters["fills_count"], counters["orders_canceled"]) != (fills, canceled):
        yield f"counters {counters}, the ledger has {fills} fills and {canceled} cancels"
    paper = shown.get("paper") or {}
    forced = {number for number in external if "autoclose" in stands.orders[number]["client_order_id"]}
    forced_fills = sum(1 for one in stands.trades.values() if one.order_id in forced)
    foreign = len(external - forced), len(stands.trades) - fills - forced_fills
    if paper and sum((paper["forced_closes"] or {}).values()) != len(forced):
        yield f"forced closes {paper['forced_closes']}, the ledger has {len(forced)}"
    if counters and paper and (paper["orders_external"], paper["fills_external"]) != foreign:
        yield f"external orders and fills {paper['orders_external'], paper['fills_external']}, not {foreign}"
    said = (shown.get("paper") or {}).get("final_account")
    if said:
        truth = (len(stands.open), stands.position, not stands.open and not stands.position)
        if (said["open_orders"], Decimal(said["position"]), said["flat"]) != truth:
            yield f"account at the end {said}, by the ledger {truth}"


def true_end(run: PaperRun, code: int, *, seconds: float = END_SECONDS) -> Any:
    """It ends with that exit code, and all that it says is true. Its `metadata.json`."""
    answer = run.end(seconds)
    assert answer.code == code, (answer.code, answer.err[-3000:])
    assert "Traceback" not in answer.err, answer.err
    found = untruths(run.tc, run.run_id, code)
    assert found == [], found
    return json.loads((run.folder / "metadata.json").read_text())

"""Checks of what a pass leaves: its status, the account, orders lost or doubled, the seal. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Self

from opslab.drills.history import ENDINGS
from opslab.drills.judgement.evidence import check, seconds_between
from opslab.model.checks.drill import Check, DrillDefinition, HistoryEvent, PassHistory, Verdict
from opslab.model.primitives.record import Record

_DELIVERY_SECONDS = 0.25
"""The line of an order may follow that of the end of a fault that refused it: two processes write them."""
_RESOLVING = ("OrderAccepted", "OrderRejected", "OrderFilled", "OrderCanceled", "OrderExpired", "OrderTriggered")


class _Paper(Record):
    """Facts of the closing event. None: not counted."""

    orders_lost: int | None
    orders_unknown: int | None
    orders_external: int | None
    first_lost_order: str | None

    @classmethod
    def of(cls, end: HistoryEvent) -> Self:
        paper = end.payload.get("paper")
        facts = paper if isinstance(paper, dict) else {}
        return cls.model_validate({name: facts.get(name) for name in cls.model_fields})


def outcome_checks(definition: DrillDefinition, history: PassHistory, statuses: Sequence[str]) -> Iterator[Check]:
    """Of either pass. In the control pass each of them is a premise."""
    kind, ending = history.kind, history.ending
    is_premise = kind == "control"
    end = next((line for line in history.events if line.event in ENDINGS), None)
    if ending is None or end is None:
        yield check("ended", "unknown", "the run did not come to its end", kind, is_premise=is_premise)
        return
    external = definition.external_orders if kind == "fault" else 0
    paper = _Paper.of(end)
    reconciled = [line for line in history.events if line.event == "reconciliation_checked"]
    last = str(reconciled[-1].payload.get("state")) if reconciled else None
    unreported = definition.max_unreported_orders if kind == "fault" else 0
    allowed = definition.last_reconciliations if kind == "fault" else ("ok",)
    doubled = doubled_orders(history.events)
    lost_name = "orders lost"
    if kind == "fault" and definition.limits and 0 < (paper.orders_lost or 0) <= len(orders_in_doubt(history)):
        lost_name = "orders in doubt"  # refused by the venue while the fault lasted, and not resolved by the engine
    facts: list[tuple[str, bool | None, str]] = [
        ("status", ending.status in statuses, f"{ending.status}, exit {ending.exit_code}"),
        ("engine ended as requested", not killed_at_the_end(history), "no engine_lost after the request"),
        ("flat at the end", ending.flat, "by the venue's ledger"),
        ("ledger", ending.ledger_is_proven, "every amount has a source"),
        (lost_name, _is(paper.orders_lost, 0), _count(paper.orders_lost, paper.first_lost_order)),
        ("orders unreported", _at_most(paper.orders_unknown, unreported), _count(paper.orders_unknown)),
        ("orders doubled", not doubled, ", ".join(doubled) or "0"),
        ("orders of others", _is(paper.orders_external, external), _count(paper.orders_external)),
        ("last reconciliation", None if last is None else last in allowed, last or "there was none"),
        ("seal", ending.verification == "whole", ending.verification),
    ]
    for name, holds, text in facts:
        verdict: Verdict = "unknown" if holds is None else "pass" if holds else "fail"
        yield check(name, verdict, text, kind, seq=end.seq, is_premise=is_premise)


def killed_at_the_end(history: PassHistory) -> bool:
    """Whether an engine was lost after the drill had requested the end of its run."""
    stopped = next((mark for mark in history.marks if mark.name == "stopped" and mark.detail is None), None)
    return stopped is not None and any(
        line.event == "engine_lost" and line.seq > stopped.seq for line in history.events
    )


def orders_in_doubt(history: PassHistory) -> list[str]:
    """Client order ids of orders that were submitted while a fault lasted, and of which the venue said nothing since.

    An end that the engine inferred from the silence (`reconciliation`) leaves them in doubt.
    """
    begun = next((mark.seq for mark in history.marks if mark.name == "injected"), None)
    restored = max((mark.seq for mark in history.marks if mark.name == "restored"), default=None)
    if begun is None or restored is None:
        return []
    ended = next((line for line in history.events if line.event == "fault_ended" and line.seq > restored), None)
    if ended is None:
        return []
    in_doubt: dict[str, None] = {}
    for line in history.events:
        if line.event == "order_event":
            order, kind = str(line.payload.get("client_order_id")), str(line.payload.get("type"))
            if (
                kind == "OrderSubmitted"
                and begun < line.seq
                and seconds_between(ended.time, line.time) <= _DELIVERY_SECONDS
            ):
                in_doubt[order] = None
            elif kind in _RESOLVING and not (kind == "OrderCanceled" and line.payload.get("reconciliation")):
                in_doubt.pop(order, None)
    return list(in_doubt)


def doubled_orders(events: Sequence[HistoryEvent]) -> list[str]:
    """Client order ids of orders that were submitted more than once."""
    submitted = Counter(
        str(line.payload.get("client_order_id"))
        for line in events
        if line.event == "order_event" and line.payload.get("type") == "OrderSubmitted"
    )
    return [order for order, count in submitted.items() if count > 1]


def _is(value: int | None, expected: int) -> bool | None:
    return None if value is None else value == expected


def _at_most(value: int | None, bound: int) -> bool | None:
    return None if value is None else value <= bound


def _count(value: int | None, first: str | None = None) -> str:
    return "not counted" if value is None else f"{value}{f', first {first}' if first else ''}"

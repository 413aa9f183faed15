"""What a run's journal tells of its halt, for who finds no more than that: its control died over it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opslab.model.run.event import Event
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import Safety
from opslab.runs.safety.flat_times import FlatTimes, seconds_to


@dataclass(slots=True)
class HaltSummary:
    """The events of a journal, taken in one after the other."""

    seen: Safety | None = None
    """The switch, as the run itself saw it."""
    seen_at: str = ""
    closed: dict[str, Any] | None = None
    """That the gate was closed, if that was told."""
    gated: int = 0

    def take(self, event: Event) -> None:
        if event.event == "kill_switch_observed" and event.payload["observed_by"] == "watch":
            self.seen, self.seen_at = Safety.model_validate(event.payload, strict=False), event.time
        elif event.event == "trading_halted":
            self.closed = event.payload
        elif event.event == "order_gated":
            self.gated += 1

    def facts(self, times: FlatTimes | None, *, flat: bool | None) -> HaltFacts | None:
        """None: it was not being halted. times, flat: of a paper run's account, by its ledger."""
        if self.seen is None:
            return None
        closed = self.closed or {}
        since = self.seen.activated_at or self.seen_at
        to_orders, to_flat = seconds_to(times, since) if times and flat else (None, None)
        return HaltFacts(
            scope=self.seen.scope,
            run_switch=closed.get("run_switch"),
            all_switch=closed.get("all_switch"),
            activated_at=self.seen.activated_at,
            seen_at=closed.get("seen_at", self.seen_at),
            gate_closed_at=closed.get("gate_closed_at"),
            seconds_to_gate=closed.get("seconds_to_gate"),
            seconds_to_no_orders=to_orders,
            seconds_to_flat=to_flat,
            flat=flat,
            escalation=None,
            orders_gated=self.gated,
        )


def summarize_halt(events: Iterable[Event]) -> HaltSummary:
    told = HaltSummary()
    for event in events:
        told.take(event)
    return told
